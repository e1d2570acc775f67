import { Notice } from "../components/basics";
import { LIST } from "../model/place";
import { Link } from "../navigation";

export function NotFoundPage() {
  return (
    <Notice
      icon="search"
      title="There is no such page"
      action={<Link to={LIST}>Go to the traces</Link>}
    >
      The address may be mistyped or come from another version.
    </Notice>
  );
}
