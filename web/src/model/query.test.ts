import { expect, test } from "vitest";
import { completionAt, quoteValue, term, toggleTerm, tokenize } from "./query";

test("tokens together are the text", () => {
  for (const text of [
    'status:error -service:"a b" (model:gpt-4* OR tokens:>100) "refund please" word',
    "http.status_code:500 a >> b",
    '"open phrase',
    "a::b (",
    "field:~^x.*(y)$ -",
  ]) {
    expect(
      tokenize(text)
        .map((token) => token.text)
        .join(""),
    ).toBe(text);
  }
});

test("kinds of tokens", () => {
  const kinds = tokenize('status:error AND "two words" (x)').map((token) => token.kind);
  expect(kinds.filter((kind) => kind !== "space")).toEqual([
    "field",
    "colon",
    "value",
    "operator",
    "phrase",
    "paren",
    "word",
    "paren",
  ]);
  expect(tokenize("duration:>2s").map((token) => token.text)).toEqual(["duration", ":", ">2s"]);
});

test("completion knows field from value", () => {
  expect(completionAt("sta", 3)).toEqual({ kind: "field", prefix: "sta", from: 0, to: 3 });
  expect(completionAt("-mod", 4)).toEqual({ kind: "field", prefix: "mod", from: 1, to: 4 });
  expect(completionAt("status:", 7)).toEqual({
    kind: "value",
    field: "status",
    prefix: "",
    from: 7,
    to: 7,
  });
  expect(completionAt("x -model:gp", 11)).toEqual({
    kind: "value",
    field: "model",
    prefix: "gp",
    from: 9,
    to: 11,
  });
  expect(completionAt("model:a,b", 9)).toEqual({
    kind: "value",
    field: "model",
    prefix: "b",
    from: 8,
    to: 9,
  });
  expect(completionAt('user:"An', 8)).toMatchObject({ kind: "value", field: "user", prefix: "An" });
  expect(completionAt("a ", 2)).toMatchObject({ kind: "field", prefix: "" });
});

test("values are quoted when they must be", () => {
  expect(quoteValue("gpt-4o")).toBe("gpt-4o");
  expect(quoteValue("a b")).toBe('"a b"');
  expect(quoteValue('say "x"')).toBe('"say \\"x\\""');
  expect(quoteValue("a*")).toBe('"a*"');
  expect(term("model", "gpt-4o", "a b")).toBe('model:gpt-4o,"a b"');
  expect(term("odd key", "1")).toBe('"odd key":1');
});

test("a term is added once and taken out again", () => {
  expect(toggleTerm("", "status:error")).toBe("status:error");
  expect(toggleTerm("a", "status:error")).toBe("a status:error");
  expect(toggleTerm("a status:error b", "status:error")).toBe("a b");
  expect(toggleTerm("a OR b", "status:error")).toBe("(a OR b) status:error");
});
