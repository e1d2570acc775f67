// Calls models through a gateway with OpenAI's client.  usage: node gateway.mjs http://127.0.0.1:12000
import OpenAI from "openai";

const [gateway] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${gateway}/v1`, apiKey: "none", maxRetries: 0 });
const messages = [{ role: "user", content: "How is the weather in Oslo?" }];
const tools = [
  {
    type: "function",
    function: { name: "get_weather", parameters: { type: "object", properties: { city: { type: "string" } } } },
  },
];

const said = {};
for (const model of ["gpt-4o-mini", "claude-sonnet-5"]) {
  const whole = await client.chat.completions.create({ model, messages });
  let streamed = "";
  for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
    streamed += chunk.choices[0]?.delta?.content ?? "";
  }
  const runner = client.chat.completions.stream({ model, messages, tools });
  const { tool_calls: calls } = (await runner.finalChatCompletion()).choices[0].message;
  said[model] = {
    text: whole.choices[0].message.content,
    tokens: whole.usage.total_tokens,
    streamed,
    calls: calls.map((call) => [call.function.name, JSON.parse(call.function.arguments)]),
  };
}
const response = await client.responses.create({ model: "gpt-4o-mini", input: "How is the weather in Oslo?" });
said.response = response.output_text;
try {
  await client.chat.completions.create({ model: "gpt-unknown", messages });
} catch (error) {
  said.error = [error.constructor.name, error.status];
}
console.log(JSON.stringify(said));
