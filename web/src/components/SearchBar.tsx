/** The search bar: coloured as it is typed, completed from what the server has seen. */

import { useQuery } from "@tanstack/react-query";
import {
  type KeyboardEvent,
  type RefObject,
  useDeferredValue,
  useEffect,
  useId,
  useState,
} from "preact/compat";
import { formatCompact } from "../model/format";
import {
  BUILTIN_FIELDS,
  type Completion,
  completionAt,
  isNumericField,
  quoteValue,
  tokenize,
} from "../model/query";
import { fieldsOptions, fieldValuesOptions } from "../queries";
import { Icon } from "./Icon";

interface Suggestion {
  insert: string;
  label: string;
  detail: string;
  /** Whether the cursor stays for more (a field waits for its value). */
  continues: boolean;
}

export interface SearchProblem {
  message: string;
  position: number | undefined;
}

export function SearchBar({
  value,
  onSearch,
  problem,
  inputRef,
}: {
  value: string;
  onSearch: (q: string) => void;
  problem: SearchProblem | null;
  inputRef: RefObject<HTMLInputElement | null>;
}) {
  const [text, setText] = useState(value);
  const [cursor, setCursor] = useState(value.length);
  const [open, setOpen] = useState(false);
  const [active, setActive] = useState(-1);
  const [scroll, setScroll] = useState(0);
  const listId = useId();
  useEffect(() => setText(value), [value]);

  const completion = completionAt(text, cursor);
  const suggestions = useSuggestions(completion, open);
  const shown = open && suggestions.length > 0;

  const search = (q: string) => {
    setOpen(false);
    setActive(-1);
    onSearch(q.trim());
    // The keyboard goes back to the list.
    inputRef.current?.blur();
  };
  const accept = (suggestion: Suggestion) => {
    const before = text.slice(0, completion.from) + suggestion.insert;
    const after = text.slice(completion.to);
    const gap = suggestion.continues || after.startsWith(" ") ? "" : " ";
    const next = before + gap + after;
    const at = before.length + gap.length;
    setText(next);
    setActive(-1);
    requestAnimationFrame(() => {
      inputRef.current?.setSelectionRange(at, at);
      setCursor(at);
    });
  };
  const onKeyDown = (event: KeyboardEvent<HTMLInputElement>) => {
    const chosen = suggestions[active];
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!open) return setOpen(true);
      const step = event.key === "ArrowDown" ? 1 : -1;
      const n = suggestions.length + 1;
      setActive(((active + 1 + step + n) % n) - 1);
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (shown && chosen) accept(chosen);
      else search(text);
    } else if (event.key === "Tab" && shown && !event.shiftKey) {
      event.preventDefault();
      accept((chosen ?? suggestions[0]) as Suggestion);
    } else if (event.key === "Escape") {
      event.preventDefault();
      if (shown) setOpen(false);
      else inputRef.current?.blur();
    }
  };

  return (
    <div className="search" data-problem={problem ? true : undefined}>
      <Icon name="search" />
      <div className="search-field">
        <Coloured text={text} scroll={scroll} problem={text === value ? problem : null} />
        <input
          ref={inputRef}
          value={text}
          spellcheck={false}
          autoComplete="off"
          autoCapitalize="off"
          placeholder='Search: status:error  model:gpt-4*  duration:>2s  "refund"'
          aria-label="Search traces"
          role="combobox"
          aria-expanded={shown}
          aria-controls={listId}
          aria-activedescendant={shown && active >= 0 ? `${listId}-${active}` : undefined}
          aria-invalid={problem !== null}
          onChange={(event) => {
            setText(event.currentTarget.value);
            setCursor(event.currentTarget.selectionStart ?? event.currentTarget.value.length);
            setOpen(true);
            setActive(-1);
          }}
          onSelect={(event) => setCursor(event.currentTarget.selectionStart ?? 0)}
          onScroll={(event) => setScroll(event.currentTarget.scrollLeft)}
          onFocus={() => setOpen(true)}
          onBlur={() => setOpen(false)}
          onKeyDown={onKeyDown}
        />
        {shown && (
          <SuggestionList
            id={listId}
            suggestions={suggestions}
            active={active}
            onAccept={accept}
            heading={completion.kind === "value" ? `Values of ${completion.field}` : "Fields"}
          />
        )}
      </div>
      {text && (
        <button
          type="button"
          className="icon-button"
          aria-label="Clear the search"
          title="Clear"
          onClick={() => {
            setText("");
            search("");
          }}
        >
          <Icon name="close" size={14} />
        </button>
      )}
      {!text && <kbd>/</kbd>}
    </div>
  );
}

/** The text behind the input, in colours; the input's own text is transparent. */
function Coloured({
  text,
  scroll,
  problem,
}: {
  text: string;
  scroll: number;
  problem: SearchProblem | null;
}) {
  const at = problem?.position;
  return (
    <div className="search-colours" aria-hidden="true">
      <div style={{ transform: `translateX(${-scroll}px)` }}>
        {tokenize(text).map((token) => (
          <span key={token.from} data-token={token.kind}>
            {token.text}
          </span>
        ))}
        {at !== undefined && (
          <span className="search-fault" style={{ left: `${Math.min(at, text.length)}ch` }} />
        )}
      </div>
    </div>
  );
}

function SuggestionList({
  id,
  suggestions,
  active,
  heading,
  onAccept,
}: {
  id: string;
  suggestions: Suggestion[];
  active: number;
  heading: string;
  onAccept: (suggestion: Suggestion) => void;
}) {
  return (
    <div className="suggestions">
      <div className="suggestions-head">{heading}</div>
      <div id={id} role="listbox" aria-label={heading}>
        {suggestions.map((suggestion, i) => (
          <div
            key={suggestion.label}
            id={`${id}-${i}`}
            role="option"
            tabIndex={-1}
            aria-selected={i === active}
            // The input must keep the focus, so the choice is made before it would be lost.
            onPointerDown={(event) => {
              event.preventDefault();
              onAccept(suggestion);
            }}
          >
            <span className="suggestion-label">{suggestion.label}</span>
            <span className="suggestion-detail">{suggestion.detail}</span>
          </div>
        ))}
      </div>
      <div className="suggestions-foot">
        <kbd>Tab</kbd> complete <kbd>Enter</kbd> search ·{" "}
        <code>AND OR NOT ( ) -field:x a..b ~regex</code>
      </div>
    </div>
  );
}

const MAX_SHOWN = 9;

function useSuggestions(completion: Completion, enabled: boolean): Suggestion[] {
  const isValue = completion.kind === "value";
  const field = isValue ? completion.field : "";
  const prefix = useDeferredValue(completion.prefix);
  const fields = useQuery({ ...fieldsOptions, enabled });
  const asksValues = enabled && isValue && field !== "has" && !isNumericField(field);
  const values = useQuery({ ...fieldValuesOptions(field, prefix), enabled: asksValues });
  if (!isValue || field === "has") {
    return fieldSuggestions(completion.prefix, fields.data?.fields ?? [], isValue);
  }
  if (isNumericField(field)) return numericSuggestions(field, completion.prefix);
  return (values.data?.values ?? [])
    .filter(({ value }) => String(value).toLowerCase().startsWith(completion.prefix.toLowerCase()))
    .slice(0, MAX_SHOWN)
    .map(({ value, count }) => ({
      insert: quoteValue(String(value)),
      label: String(value),
      detail: formatCompact(count),
      continues: false,
    }));
}

function fieldSuggestions(
  prefix: string,
  fields: { name: string; type: string; count: number }[],
  afterHas: boolean,
): Suggestion[] {
  const wanted = prefix.toLowerCase();
  const counts = new Map(fields.map((field) => [field.name, field.count]));
  const builtin = BUILTIN_FIELDS.filter((field) => !afterHas || field.name !== "has").map(
    (field) => {
      const count = counts.get(field.name);
      return { name: field.name, detail: field.hint + (count ? ` · ${formatCompact(count)}` : "") };
    },
  );
  const names = new Set(builtin.map((field) => field.name));
  const attributes = fields
    .filter((field) => !names.has(field.name))
    .map((field) => ({
      name: field.name,
      detail: `${field.type} · ${formatCompact(field.count)}`,
    }));
  const rank = (name: string) => (name.toLowerCase().startsWith(wanted) ? 0 : 1);
  return [...builtin, ...attributes]
    .filter(({ name }) => name.toLowerCase().includes(wanted))
    .sort((a, b) => rank(a.name) - rank(b.name))
    .slice(0, MAX_SHOWN)
    .map(({ name, detail }) => ({
      insert: afterHas ? name : `${name}:`,
      label: name,
      detail,
      continues: !afterHas,
    }));
}

const NUMERIC_EXAMPLES: Record<string, [string, string][]> = {
  duration: [
    [">1s", "longer than"],
    [">10s", "longer than"],
    ["<100ms", "shorter than"],
    ["1s..5s", "between"],
  ],
  ttft: [
    [">500ms", "slower than"],
    [">2s", "slower than"],
  ],
  cost: [
    [">$0.01", "more than"],
    [">$0.10", "more than"],
    [">$1", "more than"],
  ],
  tokens: [
    [">1000", "more than"],
    [">10000", "more than"],
    ["100..1000", "between"],
  ],
};

function numericSuggestions(field: string, prefix: string): Suggestion[] {
  const examples = NUMERIC_EXAMPLES[field.replace(/^(in|out)put_/, "")] ?? [];
  return examples
    .filter(([value]) => value.startsWith(prefix))
    .map(([value, detail]) => ({ insert: value, label: value, detail, continues: false }));
}
