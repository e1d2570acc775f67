import { Component, type ReactNode } from "preact/compat";
import { ErrorNotice } from "./basics";

/** Says what broke in place of a page that cannot be drawn; the frame around it goes on working. */
export class Boundary extends Component<{ children: ReactNode }, { error: unknown }> {
  override state = { error: undefined };

  static override getDerivedStateFromError(error: unknown) {
    return { error };
  }

  override render() {
    const { error } = this.state;
    if (error === undefined) return this.props.children;
    return <ErrorNotice error={error} retry={() => this.setState({ error: undefined })} />;
  }
}
