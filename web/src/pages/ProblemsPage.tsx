import { useQuery } from "@tanstack/react-query";
import type { IngestProblem } from "../api/types";
import { ErrorNotice, Notice, Skeleton } from "../components/basics";
import { useNow } from "../components/now";
import { formatAgo, formatInstant, nanosToMs } from "../model/format";
import { Link } from "../navigation";
import { problemsOptions } from "../queries";

/** The last rejected, repaired and odd spans: what arrived, why it was not as it should be. */
export function ProblemsPage() {
  const { data, error, isPending, refetch } = useQuery(problemsOptions);
  return (
    <div className="page problems">
      <header className="page-head">
        <h1>Ingest problems</h1>
        <p>The last spans and requests that were rejected, repaired or odd, newest first.</p>
      </header>
      {isPending && <LoadingRows />}
      {error && !data && <ErrorNotice error={error} retry={() => refetch()} />}
      {data?.problems.length === 0 && (
        <Notice icon="check" title="Nothing to report">
          Every span that arrived was accepted as it was.
        </Notice>
      )}
      {data && data.problems.length > 0 && <ProblemTable problems={data.problems} />}
    </div>
  );
}

function ProblemTable({ problems }: { problems: IngestProblem[] }) {
  const now = useNow(15_000);
  return (
    <div className="table-scroll">
      <table className="plain-table">
        <thead>
          <tr>
            <th>When</th>
            <th>What</th>
            <th>Reason and fix</th>
            <th>Source</th>
          </tr>
        </thead>
        <tbody>
          {problems.map((problem, i) => {
            const ms = nanosToMs(problem.time_unix_nano);
            return (
              <tr key={i}>
                <td className="nowrap muted" title={formatInstant(ms)}>
                  {formatAgo(ms, now)}
                </td>
                <td className="nowrap">
                  <span className="tag" data-tone={tone(problem)}>
                    {problem.outcome ?? "problem"}
                  </span>{" "}
                  {problem.kind.replaceAll("_", " ")}
                  {(problem.count ?? 1) > 1 && <span className="muted"> ×{problem.count}</span>}
                </td>
                <td>
                  {problem.reason}
                  {problem.fix && <div className="fix">{problem.fix}</div>}
                </td>
                <td>
                  {problem.source}
                  <ProblemSpan problem={problem} />
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

function ProblemSpan({ problem }: { problem: IngestProblem }) {
  const name = problem.span_name || problem.trace_id?.slice(0, 8);
  if (!name) return null;
  return (
    <div className="muted">
      {problem.trace_id ? (
        <Link to={{ page: "trace", traceId: problem.trace_id, search: {} }}>{name}</Link>
      ) : (
        name
      )}
    </div>
  );
}

/** What was lost is worse than what was mended. */
function tone({ outcome }: IngestProblem): string {
  return outcome === "rejected" || outcome === "refused" ? "error" : "warn";
}

function LoadingRows() {
  return (
    <div className="loading-rows" aria-busy="true">
      {Array.from({ length: 6 }, (_, i) => (
        <Skeleton key={i} width="100%" height={30} />
      ))}
    </div>
  );
}
