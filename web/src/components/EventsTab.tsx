import type { JsonObject, Span, SpanEvent } from "../api/types";
import { jsonText } from "../model/conversation";
import { formatDuration, formatInstant, nanosToMs, plural } from "../model/format";
import { Link } from "../navigation";
import { Notice } from "./basics";
import { Content } from "./Content";

export function EventsTab({ span, traceStart }: { span: Span; traceStart: bigint }) {
  if (span.events.length + span.links.length === 0) {
    return (
      <Notice icon="clock" title="No events or links">
        Events are facts with a time inside a span, such as an exception or a first token.
      </Notice>
    );
  }
  return (
    <div className="events">
      {span.events.map((event, i) => (
        <EventView key={i} event={event} traceStart={traceStart} />
      ))}
      {span.links.length > 0 && (
        <>
          <div className="section-head">
            <h3>{plural(span.links.length, "link")} to other spans</h3>
          </div>
          {span.links.map((link) => (
            <p key={link.trace_id + link.span_id}>
              <Link to={{ page: "trace", traceId: link.trace_id, search: { span: link.span_id } }}>
                <code>
                  {link.trace_id.slice(0, 8)}… / {link.span_id}
                </code>
              </Link>
            </p>
          ))}
        </>
      )}
    </div>
  );
}

function EventView({ event, traceStart }: { event: SpanEvent; traceStart: bigint }) {
  const attributes = event.attributes ?? {};
  const stack = attributes["exception.stacktrace"];
  const isException = event.name === "exception";
  const rest = Object.entries(attributes).filter(([key]) => !key.startsWith("exception."));
  return (
    <article className="event" data-exception={isException || undefined}>
      <header>
        <b>{isException ? exceptionTitle(attributes) : event.name}</b>
        <time title={formatInstant(nanosToMs(event.time_unix_nano))}>
          +{formatDuration(Number(BigInt(event.time_unix_nano) - traceStart))}
        </time>
      </header>
      {isException && <p className="pre-wrap">{jsonText(attributes["exception.message"])}</p>}
      {stack !== undefined && (
        <details>
          <summary>Stack trace</summary>
          <pre className="stack">{jsonText(stack)}</pre>
        </details>
      )}
      {rest.length > 0 && (
        <table className="attribute-table">
          <tbody>
            {rest.map(([key, value]) => (
              <tr key={key}>
                <th scope="row">{key}</th>
                <td>
                  <Content value={value} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </article>
  );
}

function exceptionTitle(attributes: JsonObject): string {
  return jsonText(attributes["exception.type"]) || "exception";
}
