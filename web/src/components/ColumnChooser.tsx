import { Popover } from "./basics";
import { COLUMNS, type Column } from "./columns";
import { Icon } from "./Icon";

export function ColumnChooser({
  columns,
  onChange,
}: {
  columns: Column[];
  onChange: (cols: string | undefined) => void;
}) {
  const shown = new Set(columns.map((column) => column.id));
  const toggle = (id: string) => {
    const next = COLUMNS.filter(({ id: other }) =>
      other === id ? !shown.has(id) : shown.has(other),
    );
    onChange(next.map((column) => column.id).join(","));
  };
  return (
    <Popover label="Columns" align="right" button={<Icon name="columns" size={14} />}>
      {() => (
        <div className="column-menu">
          {COLUMNS.filter((column) => column.id !== "status").map((column) => (
            <label key={column.id} className="menu-item">
              <input
                type="checkbox"
                checked={shown.has(column.id)}
                disabled={column.id === "name"}
                onChange={() => toggle(column.id)}
              />
              {column.label}
            </label>
          ))}
          <button type="button" className="menu-item" onClick={() => onChange(undefined)}>
            Reset to default
          </button>
        </div>
      )}
    </Popover>
  );
}
