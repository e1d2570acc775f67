import { Fragment, useEffect, useRef } from "preact/compat";
import { Icon } from "./Icon";
import { KEY_HELP } from "./keys";

export function KeySheet({ open, onClose }: { open: boolean; onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (open) dialog.current?.showModal();
    else dialog.current?.close();
  }, [open]);
  return (
    <dialog ref={dialog} className="key-sheet" onClose={onClose} aria-label="Keyboard shortcuts">
      <header>
        <h2>Keyboard shortcuts</h2>
        <button type="button" className="icon-button" aria-label="Close" onClick={onClose}>
          <Icon name="close" />
        </button>
      </header>
      <div className="key-columns">
        {KEY_HELP.map(({ section, keys }) => (
          <section key={section}>
            <h3>{section}</h3>
            <dl>
              {keys.map(([key, does]) => (
                <Fragment key={key}>
                  <dt>{key.split(" ").map((part, i) => part && <kbd key={i}>{part}</kbd>)}</dt>
                  <dd>{does}</dd>
                </Fragment>
              ))}
            </dl>
          </section>
        ))}
      </div>
    </dialog>
  );
}
