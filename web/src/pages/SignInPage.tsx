import { useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "preact/compat";
import { ApiError, api } from "../api/client";
import { Icon } from "../components/Icon";
import { signedIn } from "../signedOut";

export function SignInPage() {
  const queryClient = useQueryClient();
  const [key, setKey] = useState("");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    try {
      await api.signIn(key.trim());
      queryClient.clear();
      signedIn();
    } catch (error) {
      const wrong = error instanceof ApiError && [401, 403].includes(error.status);
      setProblem(wrong ? "This key is not valid here, or may not read." : (error as Error).message);
      setBusy(false);
    }
  };
  return (
    <div className="sign-in">
      <form onSubmit={submit}>
        <h1>Sign in</h1>
        <p>This server asks for a key before it shows traces.</p>
        <label htmlFor="key">API key with the right to read</label>
        <input
          id="key"
          type="password"
          autoComplete="current-password"
          value={key}
          onChange={(event) => setKey(event.currentTarget.value)}
          aria-invalid={problem !== null}
          aria-describedby="key-help"
        />
        {problem && (
          <p className="problem" role="alert">
            <Icon name="error" size={14} /> {problem}
          </p>
        )}
        <button type="submit" className="button primary" disabled={busy || key.trim() === ""}>
          {busy ? "Signing in…" : "Sign in"}
        </button>
        <p id="key-help" className="hint">
          No key yet? Whoever runs the server makes one with <code>spanwise keys create</code>.
        </p>
      </form>
    </div>
  );
}
