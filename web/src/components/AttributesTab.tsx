/** Attributes of span, resource and scope, as recorded, with where they were mapped to. */

import { useMemo, useState } from "preact/compat";
import type { Json, JsonObject, Span } from "../api/types";
import { jsonText } from "../model/conversation";
import { formatBytes } from "../model/format";
import { term } from "../model/query";
import { Link } from "../navigation";
import { CopyButton } from "./basics";
import { Content } from "./Content";
import { Icon } from "./Icon";

export function AttributesTab({ span }: { span: Span }) {
  const [filter, setFilter] = useState("");
  const mapped = useMemo(() => fieldsBySource(span), [span]);
  const scope: JsonObject = {
    ...(span.scope.name && { name: span.scope.name }),
    ...(span.scope.version && { version: span.scope.version }),
    ...span.scope.attributes,
  };
  return (
    <div className="attributes">
      <label className="filter">
        <Icon name="search" size={14} />
        <input
          value={filter}
          placeholder="Filter attributes"
          aria-label="Filter attributes"
          spellcheck={false}
          onChange={(event) => setFilter(event.currentTarget.value)}
        />
      </label>
      <Group title="Span" values={span.attributes} filter={filter} mapped={mapped} searchable />
      <Group title="Resource" values={span.resource} filter={filter} searchable />
      <Group title="Scope" values={scope} filter={filter} />
    </div>
  );
}

/** The other way round: for an attribute, the canonical fields that were read from it. */
function fieldsBySource(span: Span): Map<string, string[]> {
  const fields = new Map<string, string[]>();
  for (const [field, source] of Object.entries(span.llm?.sources ?? {})) {
    fields.set(source, [...(fields.get(source) ?? []), field]);
  }
  return fields;
}

function Group({
  title,
  values,
  filter,
  mapped,
  searchable,
}: {
  title: string;
  values: JsonObject;
  filter: string;
  mapped?: Map<string, string[]>;
  searchable?: boolean;
}) {
  const wanted = filter.toLowerCase();
  const entries = Object.entries(values)
    .filter(
      ([key, value]) =>
        // Lower-casing megabytes is only worth it when somebody looks for something.
        wanted === "" ||
        key.toLowerCase().includes(wanted) ||
        jsonText(value).toLowerCase().includes(wanted),
    )
    .sort(([a], [b]) => a.localeCompare(b, "en", { numeric: true }));
  return (
    <section>
      <div className="section-head">
        <h3>
          {title} <span className="muted">{entries.length}</span>
        </h3>
        <CopyButton
          text={() => JSON.stringify(values, null, 2)}
          label={`Copy ${title} attributes as JSON`}
        />
      </div>
      {entries.length === 0 ? (
        <p className="muted none-line">{filter ? "No attribute matches." : "None."}</p>
      ) : (
        <table className="attribute-table">
          <tbody>
            {entries.map(([key, value]) => (
              <Row
                key={key}
                name={key}
                value={value}
                fields={mapped?.get(key)}
                searchable={searchable}
              />
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

const LONG = 300;

function Row({
  name,
  value,
  fields,
  searchable,
}: {
  name: string;
  value: Json;
  fields: string[] | undefined;
  searchable: boolean | undefined;
}) {
  const [open, setOpen] = useState(false);
  const text = jsonText(value);
  const isLong = text.length > LONG;
  const isShort = text.length <= 80 && (value === null || typeof value !== "object");
  return (
    <tr>
      <th scope="row">
        {name}
        {fields && (
          <div className="mapped" title="Read as">
            {fields.join(", ")}
          </div>
        )}
      </th>
      <td data-type={typeof value}>
        {open ? (
          <Content value={value} />
        ) : (
          <span className="pre-wrap">{isLong ? `${text.slice(0, LONG)}…` : text}</span>
        )}
        {isLong && (
          <button type="button" className="link" onClick={() => setOpen(!open)}>
            {open ? "less" : `all ${formatBytes(text.length)}`}
          </button>
        )}
        <span className="row-actions">
          {searchable && isShort && text !== "" && (
            <Link
              to={{ page: "list", search: { q: term(name, text) } }}
              className="icon-button"
              aria-label={`Find traces with this ${name}`}
              title="Find traces with this value"
            >
              <Icon name="search" size={13} />
            </Link>
          )}
          <CopyButton text={text} label="Copy the value" />
        </span>
      </td>
    </tr>
  );
}
