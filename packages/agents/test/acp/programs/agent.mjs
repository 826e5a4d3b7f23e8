// An agent that speaks the protocol, on the SDK's own agent side. What it is told decides what it does, so that a test
// can make it behave in any way that agents do; its conversations are files, so that another process finds them.
import { agent, methods, ndJsonStream, PROTOCOL_VERSION, RequestError } from "@agentclientprotocol/sdk/unstable"
import { execFile, spawn } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Readable, Writable } from "node:stream"

const flags = new Set(process.argv.slice(2))
const folder = process.env["ACP_SESSIONS"]

/** How it starts, when it is not a good one. */
if (flags.has("--exit")) {
  console.error("cannot start: no key")
  process.exit(3)
}
if (flags.has("--banner")) process.stdout.write("Welcome to the agent!\n{ not json\n42\n")
if (flags.has("--garbage")) {
  setInterval(() => process.stdout.write("this is a chat, not a protocol\n".repeat(1000)), 1)
  await new Promise(() => {})
}
if (flags.has("--mute")) {
  console.error("waiting for somebody")
  process.stdin.resume()
  await new Promise(() => {})
}
if (flags.has("--deaf")) process.on("SIGTERM", () => {})
if (flags.has("--slow-end")) process.stdin.on("end", () => setTimeout(() => process.exit(0), 100))

/** @typedef {{ texts: Array<string>, mode: string, model: string, system: string | undefined, cost: number }} Conversation */

/** @type {Map<string, Conversation>} */
const open = new Map()
/** @type {Map<string, () => void>} */
const running = new Map()
/** @type {Set<string>} Told to stop before it had begun. */
const stopped = new Set()

/** @param {string} id */
const pathOf = (id) => join(folder ?? "", `${id}.json`)

/** @param {string} id */
const save = (id) => {
  if (folder === undefined) return
  mkdirSync(folder, { recursive: true })
  writeFileSync(pathOf(id), JSON.stringify(open.get(id)))
}

/** @param {string} id @returns {Conversation} */
const found = (id) => {
  if (folder === undefined || !existsSync(pathOf(id))) throw RequestError.sessionNotFound(id)
  const conversation = JSON.parse(readFileSync(pathOf(id), "utf8"))
  open.set(id, conversation)
  return conversation
}

/** @param {Conversation} conversation */
const offered = ({ mode, model }) => ({
  ...(flags.has("--modes")
    ? {
        modes: {
          currentModeId: mode,
          availableModes: [
            { id: "ask", name: "Ask first" },
            { id: "yolo", name: "Do it" }
          ]
        }
      }
    : {}),
  ...(flags.has("--options")
    ? {
        configOptions: [
          {
            id: "the-model",
            name: "Model",
            category: "model",
            type: /** @type {const} */ ("select"),
            currentValue: model,
            options: [
              { value: "small-1", name: "Small" },
              { value: "large-1", name: "Large" }
            ]
          }
        ]
      }
    : {})
})

const app = agent({ name: "scripted" })

/** @type {string | undefined} */
let loggedIn
/** @type {unknown} */
let asker

app.onRequest(methods.agent.authenticate, ({ params }) => {
  loggedIn = params.methodId
  return {}
})

app.onRequest(
  methods.agent.initialize,
  ({ params }) => (
    (asker = params.clientInfo),
    {
      ...(flags.has("--login") ? { authMethods: [{ id: "by-key", name: "By key" }] } : {}),
      protocolVersion: flags.has("--version-99") ? 99 : PROTOCOL_VERSION,
      agentCapabilities: {
        loadSession: flags.has("--load"),
        promptCapabilities: { image: flags.has("--images") },
        sessionCapabilities: {
          ...(flags.has("--resume") ? { resume: {} } : {}),
          ...(flags.has("--close") ? { close: {} } : {}),
          ...(flags.has("--delete") ? { delete: {} } : {}),
          ...(flags.has("--system") ? { systemPrompt: {} } : {})
        }
      },
      ...(flags.has("--steer") ? { _meta: { steering: { supported: true } } } : {})
    }
  )
)

app.onRequest(methods.agent.session.new, ({ params }) => {
  if (flags.has("--login") && loggedIn !== "by-key") throw RequestError.authRequired(undefined, "run `scripted login`")
  if (flags.has("--stuck")) return new Promise(() => {})
  const id = `conversation-${process.pid}-${open.size + 1}`
  const [system] = params.systemPrompt?.content ?? []
  const conversation = {
    texts: [],
    mode: "ask",
    model: "small-1",
    system: system?.type === "text" ? system.text : undefined,
    cost: 0
  }
  open.set(id, conversation)
  save(id)
  return { sessionId: id, ...offered(conversation) }
})

app.onRequest(methods.agent.session.load, async ({ params, client }) => {
  const conversation = found(params.sessionId)
  for (const text of conversation.texts) {
    for (const sessionUpdate of /** @type {const} */ (["user_message_chunk", "agent_message_chunk"])) {
      const update = { sessionUpdate, content: { type: /** @type {const} */ ("text"), text: `replayed ${text}` } }
      await client.notify(methods.client.session.update, { sessionId: params.sessionId, update })
    }
  }
  return offered(conversation)
})

app.onRequest(methods.agent.session.resume, ({ params }) => offered(found(params.sessionId)))

app.onRequest(methods.agent.session.close, ({ params }) => {
  if (folder !== undefined) writeFileSync(join(folder, `${params.sessionId}.closed`), "")
  return {}
})

app.onRequest(methods.agent.session.delete, ({ params }) => {
  found(params.sessionId)
  rmSync(pathOf(params.sessionId))
  return {}
})

app.onRequest(methods.agent.session.setMode, ({ params }) => {
  const conversation = open.get(params.sessionId)
  if (conversation !== undefined) conversation.mode = params.modeId
  return {}
})

app.onRequest(methods.agent.session.setConfigOption, ({ params }) => {
  const conversation = open.get(params.sessionId)
  if (conversation === undefined) throw RequestError.sessionNotFound(params.sessionId)
  conversation.model = String(params.value)
  return { configOptions: offered(conversation).configOptions ?? [] }
})

app.onNotification(methods.agent.session.cancel, ({ params }) => {
  if (flags.has("--deaf")) return
  const stop = running.get(params.sessionId)
  if (stop === undefined) stopped.add(params.sessionId)
  else stop()
})

app.onRequest(
  "_session/steering",
  (params) => params,
  ({ params }) => {
    const { sessionId, prompt } = /** @type {import("@agentclientprotocol/sdk/unstable").PromptRequest} */ (params)
    const conversation = open.get(sessionId)
    if (conversation === undefined || !running.has(sessionId)) return { outcome: "promptRequired" }
    conversation.texts.push(...prompt.flatMap((block) => (block.type === "text" ? [block.text] : [])))
    if (conversation.texts.at(-1) === "enough") running.get(sessionId)?.()
    return { outcome: flags.has("--vague") ? "perhaps" : "injected" }
  }
)

/**
 * What a text makes it do; the answer of everything else is the text.
 * @param {import("@agentclientprotocol/sdk/unstable").AgentContext} client
 * @param {string} sessionId
 * @param {Conversation} conversation
 */
const directives = (client, sessionId, conversation) => {
  /** @param {import("@agentclientprotocol/sdk/unstable").SessionUpdate} update */
  const tell = (update) => client.notify(methods.client.session.update, { sessionId, update })
  /** @param {string} text */
  const say = (text) => tell({ sessionUpdate: "agent_message_chunk", content: { type: "text", text } })
  const cancelled = () =>
    new Promise((resolve) => {
      if (stopped.delete(sessionId)) resolve(undefined)
      else running.set(sessionId, () => resolve(undefined))
    })
  /** @type {Record<string, (rest: string) => Promise<unknown>>} */
  const known = {
    fail: async () => {
      throw RequestError.internalError(undefined, "asked to fail")
    },
    hang: async () => {
      const end = cancelled()
      await say("working")
      await end
      if (flags.has("--late")) await say("this comes too late")
      if (flags.has("--late")) await known["may"]?.("go on")
      return "cancelled"
    },
    work: async () => {
      const end = cancelled()
      await say("working")
      await end
      await say(` done: ${conversation.texts.at(-1)}`)
    },
    die: async () => {
      await say("half an ans")
      console.error("out of memory")
      process.exit(9)
    },
    murder: async () => {
      await say("I do it")
      process.kill(process.ppid, "SIGKILL")
      await new Promise(() => {})
    },
    vanish: async () => {
      const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { detached: true, stdio: "ignore" })
      child.unref()
      await say("bye")
      setTimeout(() => process.exit(0), 20)
    },
    flood: async () => {
      process.stdout.write("x".repeat(33 * 1024 * 1024))
      await new Promise(() => {})
    },
    rattle: async () => {
      const line = `${"this is no message ".repeat(50)}\n`
      for (let n = 0; n < 20_000; n++) process.stdout.write(line)
      await new Promise(() => {})
    },
    mutter: async () => {
      const block = "x".repeat(65_536)
      for (let n = 0; n < 800; n++) await new Promise((done) => process.stderr.write(block, done))
      await say("done")
    },
    environment: async () => say(JSON.stringify(process.env)),
    noise: async () => {
      process.stdout.write('a line\n[1,2]\n{"jsonrpc":"2.0","id":77,"result":{}}\n')
      await client.notify(
        methods.client.session.update,
        /** @type {never} */ ({ sessionId, update: { sessionUpdate: "weather" } })
      )
      await client.notify(methods.client.session.update, /** @type {never} */ ({ sessionId }))
      await client.notify("_made/up", {})
      await say("after the noise")
    },
    silent: async () => {},
    refuse: async () => "refusal",
    long: async () => {
      await say("a long st")
      return "max_tokens"
    },
    strange: async () => "because",
    many: async (rest) => {
      for (let n = 0; n < Number(rest); n++) await say(`${n} `)
    },
    tools: async () => {
      await say("I look.")
      await tell({ sessionUpdate: "tool_call", toolCallId: "1", title: "Read a.txt", kind: "read", status: "pending" })
      await tell({ sessionUpdate: "tool_call_update", toolCallId: "1", status: "completed" })
      await tell({
        sessionUpdate: "tool_call",
        toolCallId: "2",
        title: "Write a.txt",
        kind: "think",
        status: "pending"
      })
      await tell({ sessionUpdate: "tool_call_update", toolCallId: "2", kind: "edit", status: "in_progress" })
      await tell({ sessionUpdate: "tool_call_update", toolCallId: "2", status: "failed" })
      await tell({ sessionUpdate: "tool_call_update", toolCallId: "2", status: "completed" })
      await tell({ sessionUpdate: "tool_call", toolCallId: "3", title: "Something", status: "completed" })
      await tell({ sessionUpdate: "tool_call", toolCallId: "4", title: "make", kind: "execute", status: "in_progress" })
      await say("Done.")
    },
    deploy: async () => {
      const { texts } = conversation
      if (texts.at(-1)?.startsWith("[An earlier attempt") === true) {
        await say(JSON.stringify(texts))
        return "end_turn"
      }
      const end = cancelled()
      await tell({
        sessionUpdate: "tool_call",
        toolCallId: "d",
        title: "deploy",
        kind: "execute",
        status: "in_progress"
      })
      await end
      return "cancelled"
    },
    run: async (rest) => {
      const [program, ...args] = JSON.parse(rest)
      const end = cancelled()
      await tell({ sessionUpdate: "tool_call", toolCallId: "r", title: "run", kind: "execute", status: "in_progress" })
      /** @type {Promise<string>} */
      const said = new Promise((resolve) => {
        execFile(program, args, (error, stdout, stderr) =>
          resolve(`${error?.code ?? 0} ${stdout.split("\n")[0]}${stderr}`)
        )
      })
      const result = await Promise.race([said, end])
      if (typeof result !== "string") return "cancelled"
      await tell({ sessionUpdate: "tool_call_update", toolCallId: "r", status: "completed" })
      await say(`it said ${result}`)
      return "end_turn"
    },
    plan: async () => {
      /** @param {"pending" | "in_progress" | "completed"} first @param {"pending" | "in_progress" | "completed"} second */
      const plan = (first, second) =>
        tell({
          sessionUpdate: "plan",
          entries: [
            { content: "think", priority: "high", status: first },
            { content: "write", priority: "low", status: second }
          ]
        })
      await plan("in_progress", "pending")
      await plan("in_progress", "pending")
      await plan("completed", "in_progress")
      await plan("completed", "completed")
    },
    usage: async () => {
      conversation.cost += 0.25
      await tell({
        sessionUpdate: "usage_update",
        used: 100,
        size: 1000,
        cost: { amount: conversation.cost, currency: "USD" }
      })
      return { totalTokens: 33, inputTokens: 11, outputTokens: 22, cachedReadTokens: 5, thoughtTokens: 4 }
    },
    may: async (rest) => {
      const response = await client.request(methods.client.session.requestPermission, {
        sessionId,
        toolCall: { toolCallId: "p", title: rest, kind: "execute", status: "pending" },
        options: [
          { optionId: "yes", name: "Allow", kind: "allow_once" },
          { optionId: "always", name: "Allow", kind: "allow_always" },
          { optionId: "no", name: "Reject", kind: "reject_once" }
        ]
      })
      const { outcome } = response
      await say(outcome.outcome === "selected" ? `chosen: ${outcome.optionId}` : "nobody decided")
    },
    ask: async () => {
      await client
        .request(methods.client.session.requestPermission, /** @type {never} */ ({ sessionId }))
        .catch(/** @param {Error} error */ (error) => say(`refused: ${error.message}`))
    },
    files: async () => {
      await client.request(methods.client.fs.readTextFile, { sessionId, path: "/etc/hostname" }).then(
        () => say("read"),
        /** @param {Error} error */ (error) => say(error.message)
      )
    },
    whoami: async () => {
      const { mode, model, system } = conversation
      await say(JSON.stringify({ mode, model, system, cwd: process.cwd(), asker }))
    },
    history: async () => say(JSON.stringify(conversation.texts.slice(0, -1)))
  }
  return { known, say }
}

app.onRequest(methods.agent.session.prompt, async ({ params, client }) => {
  const { sessionId, prompt } = params
  const conversation = open.get(sessionId) ?? found(sessionId)
  const text = prompt
    .map((block) => {
      if (block.type === "text") return block.text
      return block.type === "image" ? `<${block.mimeType} ${block.data.length}>` : `<${block.type}>`
    })
    .join("\n")
  conversation.texts.push(text)
  save(sessionId)
  const { known, say } = directives(client, sessionId, conversation)
  const last = prompt.findLast((block) => block.type === "text")
  const [word = "", ...rest] = (last?.type === "text" ? last.text : "").split(" ")
  const does = Object.hasOwn(known, word) ? known[word] : undefined
  const result = does === undefined ? await say(text) : await does(rest.join(" "))
  running.delete(sessionId)
  stopped.delete(sessionId)
  save(sessionId)
  if (typeof result === "object" && result !== null)
    return { stopReason: "end_turn", usage: /** @type {never} */ (result) }
  return { stopReason: /** @type {never} */ (typeof result === "string" ? result : "end_turn") }
})

const input = /** @type {ReadableStream<Uint8Array>} */ (/** @type {unknown} */ (Readable.toWeb(process.stdin)))
const output = /** @type {WritableStream<Uint8Array>} */ (/** @type {unknown} */ (Writable.toWeb(process.stdout)))
const connection = app.connect(ndJsonStream(output, input))
if (flags.has("--deaf")) setInterval(() => {}, 1000)
await connection.closed
if (!flags.has("--slow-end") && !flags.has("--deaf")) process.exit(0)
