// A small agent on the protocol's own SDK. It answers at once, so what is measured is not its; its conversations are
// empty, so it finds any of them again.
import { agent, methods, ndJsonStream, PROTOCOL_VERSION } from "@agentclientprotocol/sdk/unstable"
import { Readable, Writable } from "node:stream"
import { answer, markOf, now, stamp } from "./stamp.mjs"

const app = agent({ name: "prompt" })
let sessions = 0

app.onRequest(methods.agent.initialize, () => ({
  protocolVersion: PROTOCOL_VERSION,
  agentCapabilities: { sessionCapabilities: { resume: {}, close: {} } }
}))
app.onRequest(methods.agent.session.new, () => ({ sessionId: `conversation-${process.pid}-${++sessions}` }))
app.onRequest(methods.agent.session.resume, () => ({}))
app.onRequest(methods.agent.session.close, () => ({}))
app.onRequest(methods.agent.session.prompt, async ({ client, params: { prompt, sessionId } }) => {
  const seen = now()
  const turn = markOf(prompt.map((block) => (block.type === "text" ? block.text : "")).join("\n"))
  const [last = "", ...before] = answer.toReversed()
  /** @param {string} text */
  const say = (text) =>
    client.notify(methods.client.session.update, {
      sessionId,
      update: { sessionUpdate: "agent_message_chunk", content: { type: "text", text } }
    })
  const first = now()
  for (const text of before.toReversed()) await say(text)
  stamp(process.argv[2], { turn, seen, first, said: now() })
  await say(last)
  return { stopReason: "end_turn" }
})

const input = /** @type {ReadableStream<Uint8Array>} */ (/** @type {unknown} */ (Readable.toWeb(process.stdin)))
const output = /** @type {WritableStream<Uint8Array>} */ (/** @type {unknown} */ (Writable.toWeb(process.stdout)))
await app.connect(ndJsonStream(output, input)).closed
process.exit(0)
