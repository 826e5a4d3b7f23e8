/**
 * The agents without a gateway: the same programs with the same flags, spoken with in their own protocol by the least
 * code that can. What a turn costs here is what it costs anybody.
 */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import { Agent, request } from "node:http"
import { defaultNice } from "../../../../packages/agents/src/Children.ts"
import { lower } from "../../../../packages/agents/src/internal/node/priority.ts"
import type { Launch } from "../processes.ts"
import { eventsIn, now } from "./gateway.ts"
import type { Heard } from "./turns.ts"

/** One who asks an agent, one turn after the other. */
export interface Asker {
  /** The process that stays between turns; absent where there is none. */
  readonly pid?: number
  readonly turn: (text: string) => Promise<Heard>
  readonly close: () => Promise<void>
}

// oxlint-disable-next-line typescript/no-explicit-any -- lines of two protocols, of which two or three members are read
type Message = Readonly<Record<string, any>>

/** In a session of its own and behind who asks it, as a gateway starts it: Linux weighs both. */
const launched = ({ argv: [program = "", ...args], cwd, env }: Launch): ChildProcessWithoutNullStreams => {
  const child = spawn(program, args, { cwd, env, detached: true, stdio: ["pipe", "pipe", "pipe"] })
  if (child.pid !== undefined) lower(child, child.pid, defaultNice)
  const kill = () => void child.kill("SIGKILL")
  process.on("exit", kill)
  child.on("exit", () => process.off("exit", kill))
  child.stderr.resume()
  return child
}

/** A process that speaks in lines of JSON. */
const speaking = (launch: Launch) => {
  const child = launched(launch)
  let listener: ((message: Message) => void) | undefined
  let held = ""
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    const lines = (held + chunk).split("\n")
    held = lines.pop() ?? ""
    for (const line of lines) if (line.startsWith("{")) listener?.(JSON.parse(line) as Message)
  })
  return {
    pid: child.pid ?? 0,
    /** Sends a message and waits for the one that ends it; `see` sees what comes before. */
    ask: (message: Message, isEnd: (message: Message) => boolean, see?: (message: Message) => void): Promise<Message> =>
      new Promise((resolve, reject) => {
        const left = () => reject(new Error(`${launch.argv.join(" ")} ended`))
        child.once("exit", left)
        listener = (message) => {
          if (!isEnd(message)) return see?.(message)
          child.off("exit", left)
          resolve(message)
        }
        child.stdin.write(`${JSON.stringify(message)}\n`)
      }),
    close: async () => {
      const exited = new Promise((resolve) => child.on("exit", resolve))
      child.stdin.end()
      await exited
    }
  }
}

/** An agent that speaks ACP; `resume` names a conversation that it has. */
export const acp = async (launch: Launch, resume?: string): Promise<Asker & { readonly conversation: string }> => {
  const { ask, close, pid } = speaking(launch)
  let ids = 0
  const call = (method: string, params: object, see?: (message: Message) => void): Promise<Message> => {
    const id = ++ids
    return ask({ jsonrpc: "2.0", id, method, params }, (message) => message["id"] === id, see)
  }
  const answer = async (method: string, params: object) => {
    const { error, result } = await call(method, params)
    if (error !== undefined) throw new Error(`${method}: ${JSON.stringify(error)}`)
    return result as Message
  }
  const clientCapabilities = { fs: { readTextFile: false, writeTextFile: false }, terminal: false }
  await answer("initialize", { protocolVersion: 1, clientCapabilities })
  const { cwd } = launch
  const place = { cwd, mcpServers: [] }
  const begun =
    resume === undefined
      ? await answer("session/new", place)
      : await answer("session/resume", { ...place, sessionId: resume })
  const sessionId = String(begun["sessionId"] ?? resume)
  return {
    pid,
    close,
    conversation: sessionId,
    turn: async (text) => {
      const asked = now()
      let first: number | undefined
      const { error } = await call("session/prompt", { sessionId, prompt: [{ type: "text", text }] }, (message) => {
        if (message["params"]?.update?.sessionUpdate === "agent_message_chunk") first ??= now()
      })
      if (error !== undefined) throw new Error(`session/prompt: ${JSON.stringify(error)}`)
      return { asked, ...(first === undefined ? {} : { first }), readable: now() }
    }
  }
}

/** The Claude Code CLI, started as it was for a gateway, with a conversation of its own; `resume` names one that it has. */
export const claude = async (like: Launch, resume?: string): Promise<Asker & { readonly conversation: string }> => {
  const at = like.argv.findIndex((word) => word === "--session-id" || word === "--resume")
  if (at === -1) throw new Error(`the CLI was started without a conversation: ${like.argv.join(" ")}`)
  const conversation = resume ?? randomUUID()
  const name = [resume === undefined ? "--session-id" : "--resume", conversation]
  const { ask, close, pid } = speaking({ ...like, argv: like.argv.toSpliced(at, 2, ...name) })
  const hello = { type: "control_request", request_id: "hello", request: { subtype: "initialize" } }
  await ask(hello, ({ type }) => type === "control_response")
  return {
    pid,
    close,
    conversation,
    turn: async (text) => {
      const asked = now()
      let first: number | undefined
      const message = { role: "user", content: [{ type: "text", text }] }
      const prompt = { type: "user", uuid: randomUUID(), message, parent_tool_use_id: null }
      const { is_error: failed, result } = await ask(
        prompt,
        ({ type }) => type === "result",
        ({ event, type }) => {
          if (type === "stream_event" && event?.delta?.type === "text_delta") first ??= now()
        }
      )
      if (failed === true) throw new Error(`the CLI failed: ${String(result)}`)
      return { asked, ...(first === undefined ? {} : { first }), readable: now() }
    }
  }
}

/** A program for each turn. */
export const command = (launch: Launch): Asker => ({
  turn: (text) =>
    new Promise((resolve, reject) => {
      const asked = now()
      let first: number | undefined
      const child = launched(launch)
      child.stdout.on("data", () => {
        first ??= now()
      })
      child.on("error", reject)
      child.on("close", (code) =>
        code === 0
          ? resolve({ asked, ...(first === undefined ? {} : { first }), readable: now() })
          : reject(new Error(`${launch.argv.join(" ")} ended with ${code}`))
      )
      const message = { seq: 1, id: randomUUID(), sender: "kim", text, attachments: [], acceptedAt: Date.now() }
      child.stdin.end(`${JSON.stringify({ turn: message.id, attempt: 1, messages: [message], text })}\n`)
    }),
  close: () => Promise.resolve()
})

/** A model over HTTP, told the conversation so far; `length` turns are one conversation. */
export const model = (url: string, length: number): Asker => {
  const agent = new Agent({ keepAlive: true })
  let messages: Array<{ readonly role: string; readonly content: string }> = []
  return {
    turn: (text) =>
      new Promise((resolve, reject) => {
        const asked = now()
        let first: number | undefined
        let said = ""
        if (messages.length >= 2 * length) messages = []
        messages.push({ role: "user", content: text })
        const body = JSON.stringify({ model: "stand-in", stream: true, max_tokens: 4096, messages })
        const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) }
        const sent = request(`${url}/v1/chat/completions`, { agent, method: "POST", headers }, (response) => {
          const hear = eventsIn((_, data) => {
            if (!data.startsWith("{")) return
            const { choices } = JSON.parse(data) as Message
            const piece: unknown = choices[0]?.delta?.content
            if (typeof piece !== "string" || piece === "") return
            first ??= now()
            said += piece
          })
          response.setEncoding("utf8").on("data", hear)
          response.on("end", () => {
            messages.push({ role: "assistant", content: said })
            resolve({ asked, ...(first === undefined ? {} : { first }), readable: now() })
          })
        })
        sent.on("error", reject)
        sent.end(body)
      }),
    close: () => {
      agent.destroy()
      return Promise.resolve()
    }
  }
}
