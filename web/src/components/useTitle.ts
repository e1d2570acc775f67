import { useEffect } from "preact/compat";

export function useTitle(title: string | undefined): void {
  useEffect(() => {
    document.title = title ? `${title} · Spanwise` : "Spanwise";
    return () => {
      document.title = "Spanwise";
    };
  }, [title]);
}
