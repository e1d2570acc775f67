/** The search language on one screen; each example can be tried. */

const EXAMPLES: readonly [query: string, meaning: string][] = [
  ["status:error", "traces in which a span failed"],
  ["model:gpt-4* duration:>2s", "slow calls of a family of models"],
  ['"refund policy"', "a phrase anywhere in prompts, answers and attributes"],
  ["tool:web_search -user:alice", "one tool, but not one user"],
  ["(agent:planner OR agent:coder) cost:>$0.01", "alternatives, and a bound on money"],
  ["http.response.status_code:500..599", "any attribute by its own key, and a range"],
  ["has:session name:~^chat", "a field that is present, and a regular expression"],
];

export function SearchHelp({ onTry }: { onTry: (query: string) => void }) {
  return (
    <div className="search-help">
      <h2>How to search</h2>
      <dl>
        {EXAMPLES.map(([query, meaning]) => (
          <div key={query}>
            <dt>
              <button type="button" onClick={() => onTry(query)} title="Try it">
                <code>{query}</code>
              </button>
            </dt>
            <dd>{meaning}</dd>
          </div>
        ))}
      </dl>
      <p className="muted">
        Terms side by side must all hold in one span. OR, NOT and parentheses combine them.
      </p>
    </div>
  );
}
