import { Link } from "@tanstack/react-router";
import { Notice } from "../components/basics";

export function NotFoundPage() {
  return (
    <Notice
      icon="search"
      title="There is no such page"
      action={<Link to="/">Go to the traces</Link>}
    >
      The address may be mistyped or come from another version.
    </Notice>
  );
}
