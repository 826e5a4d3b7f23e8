/**
 * The agent of kind `acp`: it speaks the Agent Client Protocol on the agent's side of its
 * SDK, one process for a session, kept between turns. Its conversations are files, each
 * with the first prompt on, so that a process which comes after a crash finds what was
 * said. The end of its input aborts what runs, as it does with real ones.
 */
import { agent, methods, ndJsonStream, PROTOCOL_VERSION, RequestError } from "@agentclientprotocol/sdk/unstable"
import * as Fs from "node:fs"
import { join } from "node:path"
import { Readable, Writable } from "node:stream"
import { die, flood, isFirst, noise, Orders, Run, work } from "./doings.mjs"
import { conversationOf, idOf, messagesIn } from "./words.mjs"

/** @typedef {import("@agentclientprotocol/sdk/unstable").AgentContext} Client */
/** Whose it is, known from its first message on, and what was said. */
/** @typedef {{ whose: string | undefined, said: Array<{ by: "user" | "agent", text: string }> }} Conversation */

const folder = process.env["ACP_SESSIONS"] ?? "."
/** @type {Map<string, Conversation>} */
const open = new Map()
/** The run, and what tells it to stop. @type {{ run: Run, stop: () => void } | undefined} */
let running
/** Nobody listens any more. */
let alone = false

/** @param {string} id */
const pathOf = (id) => join(folder, `${id}.json`)

/** Whole or not at all, whenever it dies. @param {string} id @param {Conversation} conversation */
const save = (id, conversation) => {
  Fs.mkdirSync(folder, { recursive: true })
  Fs.writeFileSync(`${pathOf(id)}.${process.pid}`, JSON.stringify(conversation))
  Fs.renameSync(`${pathOf(id)}.${process.pid}`, pathOf(id))
}

const app = agent({ name: "torture" })

app.onRequest(methods.agent.initialize, () => ({
  protocolVersion: PROTOCOL_VERSION,
  agentCapabilities: { loadSession: true }
}))

app.onRequest(methods.agent.session.new, () => {
  const sessionId = `${process.pid}-${process.hrtime.bigint()}`
  // No file yet: a conversation in which nothing was said is gone with its process, as many agents have it.
  open.set(sessionId, { whose: undefined, said: [] })
  return { sessionId }
})

/** @param {Client} client @param {string} sessionId @param {"user_message_chunk" | "agent_message_chunk"} sessionUpdate @param {string} text */
const tell = (client, sessionId, sessionUpdate, text) =>
  client.notify(methods.client.session.update, {
    sessionId,
    update: { sessionUpdate, content: { type: "text", text } }
  })

app.onRequest(methods.agent.session.load, async ({ client, params: { sessionId } }) => {
  if (!Fs.existsSync(pathOf(sessionId))) throw RequestError.sessionNotFound(sessionId)
  /** @type {Conversation} */
  const conversation = JSON.parse(Fs.readFileSync(pathOf(sessionId), "utf8"))
  open.set(sessionId, conversation)
  for (const { by, text } of conversation.said) await tell(client, sessionId, `${by}_message_chunk`, text)
  return {}
})

app.onNotification(methods.agent.session.cancel, () => running?.stop())

/** @param {Run} run @param {Client} client @param {string} sessionId */
const answer = async (run, client, sessionId) => {
  const { orders } = run
  /** @param {string} text */
  const say = (text) => tell(client, sessionId, "agent_message_chunk", text)
  const middle = run.answer.length >> 1
  if (orders.told("garbage")) process.stdout.write(Buffer.concat([noise, Buffer.from("\n")]))
  if (orders.toldFirst("half")) {
    await say(run.answer.slice(0, middle))
    // What is written to a pipe is on its way when the call returns.
    setImmediate(die)
    await new Promise(() => {})
  }
  run.ends("ok")
  await say(run.answer.slice(0, middle))
  await say(run.answer.slice(middle))
  if (orders.told("flood")) for (const piece of flood()) await say(piece)
}

app.onRequest(methods.agent.session.prompt, async ({ client, params: { prompt, sessionId } }) => {
  const conversation = open.get(sessionId)
  if (conversation === undefined) throw RequestError.sessionNotFound(sessionId)
  const texts = messagesIn(prompt.flatMap((block) => (block.type === "text" ? [block.text] : [])))
  conversation.whose ??= conversationOf(idOf(texts[0] ?? "") ?? "")
  conversation.said.push({ by: "user", text: texts.join("\n") })
  save(sessionId, conversation)
  const run = new Run("acp", conversation.whose, new Orders(texts, texts.filter(isFirst)), sessionId)
  try {
    const stopped = new Promise((resolve) => {
      const stop = () => (run.orders.deaf ? undefined : resolve(undefined))
      running = { run, stop }
    })
    if (!(await work(run, stopped))) {
      run.ends("fail")
      return { stopReason: "cancelled" }
    }
    await answer(run, client, sessionId)
    conversation.said.push({ by: "agent", text: run.answer })
    save(sessionId, conversation)
    return { stopReason: "end_turn" }
  } finally {
    run.close()
    running = undefined
    // Deaf to the end of its input: it goes when it has done what it wanted to.
    if (alone) process.exit(0)
  }
})

process.on("SIGTERM", () => {
  if (running?.run.orders.deaf === true) return
  running?.run.ends("fail")
  process.exit(143)
})
// Who is gone hears nothing; whether this ends is decided by the end of the input.
process.stdout.on("error", () => undefined)

const input = /** @type {ReadableStream<Uint8Array>} */ (/** @type {unknown} */ (Readable.toWeb(process.stdin)))
const output = /** @type {WritableStream<Uint8Array>} */ (/** @type {unknown} */ (Writable.toWeb(process.stdout)))
await app.connect(ndJsonStream(output, input)).closed
alone = true
if (running === undefined || !(/** @type {{ run: Run }} */ (running).run.orders.deaf)) {
  running?.run.ends("fail")
  process.exit(0)
}
