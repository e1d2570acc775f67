import { type RefObject, useCallback, useEffect, useMemo, useRef, useState } from "preact/compat";
import { firstToShow, type SpanNode, type Tree } from "../model/tree";

/** Long enough that a held key writes the URL once, short enough to copy it at any time. */
const WRITE_AFTER_MS = 120;

/**
 * The selected span. It changes at once, and the URL follows: a key that repeats is faster than
 * navigation. `current` is what the next key press starts from, even before the page has rendered.
 */
export function useSelectedSpan(
  tree: Tree,
  spanId: string | undefined,
  write: (spanId: string) => void,
): { selected: SpanNode; current: RefObject<SpanNode>; choose: (node: SpanNode) => void } {
  const [chosen, setChosen] = useState(spanId);
  const written = useRef(spanId);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => {
    // A link inside the page, not the echo of a choice.
    if (spanId !== written.current) setChosen(spanId);
    written.current = spanId;
  }, [spanId]);
  useEffect(() => () => clearTimeout(timer.current), []);

  const preferred = useMemo(() => firstToShow(tree) as SpanNode, [tree]);
  const selected = (chosen && tree.byId.get(chosen)) || preferred;
  const current = useRef(selected);
  current.current = selected;
  const choose = useCallback(
    (node: SpanNode) => {
      const id = node.span.span_id;
      current.current = node;
      setChosen(id);
      clearTimeout(timer.current);
      timer.current = setTimeout(() => {
        written.current = id;
        write(id);
      }, WRITE_AFTER_MS);
    },
    [write],
  );
  return { selected, current, choose };
}
