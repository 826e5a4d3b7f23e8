/**
 * The shipped program for benchmarks: built, started in a folder of its own with a configuration, spoken with over HTTP
 * as any client does, and weighed from outside. Its heap is asked of V8 by the inspector, after a full collection.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { Agent, type IncomingMessage, request } from "node:http"
import { join } from "node:path"
import { ended, lastWords } from "../peers/daemons.ts"
import { residentOf } from "../processes.ts"

const root = join(import.meta.dirname, "../../../..")

/** Milliseconds of the monotonic clock that all processes share. */
export const now = (): number => Number(process.hrtime.bigint()) / 1e6

/** Builds the program where its sources have changed. */
export const build = (): void => {
  execFileSync(process.execPath, ["scripts/bundle.mjs"], { cwd: root, stdio: ["ignore", "ignore", "inherit"] })
}

/** What a gateway weighs after a full collection, in bytes. */
export interface Weight {
  /** V8's heap with the buffers that hang on it. */
  readonly heap: number
  readonly resident: number
}

/** A gateway that is ready. */
export interface Running {
  readonly pid: number
  readonly url: string
  readonly token: string
  /** Its log so far, the end of it. */
  readonly said: () => string
  readonly stop: () => Promise<void>
  /** For one that was started `inspected`. */
  readonly weigh: () => Promise<Weight>
}

/** Waits for what a process says once it has started. */
const hear = async (child: ChildProcess, said: () => string, words: RegExp): Promise<string> => {
  const end = now() + 60_000
  for (;;) {
    const match = words.exec(said())
    if (match !== null) return match[1] ?? ""
    if (child.exitCode !== null || child.signalCode !== null || now() > end)
      throw new Error(`it did not start:\n${said()}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** One request to V8's inspector after the other. */
const inspector = (url: string) => {
  let ids = 0
  const opened = Promise.withResolvers<void>()
  const waiting = new Map<number, (result: Readonly<Record<string, unknown>>) => void>()
  const socket = new WebSocket(url)
  socket.addEventListener("open", () => opened.resolve())
  socket.addEventListener("error", () => opened.reject(new Error(`no inspector at ${url}`)))
  socket.addEventListener("message", ({ data }) => {
    const { id, result } = JSON.parse(String(data)) as {
      readonly id?: number
      readonly result?: Readonly<Record<string, unknown>>
    }
    if (id !== undefined) waiting.get(id)?.(result ?? {})
  })
  return {
    ask: async (method: string): Promise<Readonly<Record<string, unknown>>> => {
      await opened.promise
      const id = ++ids
      return new Promise((resolve) => {
        waiting.set(id, resolve)
        socket.send(JSON.stringify({ id, method }))
      })
    },
    close: () => socket.close()
  }
}

/** Collects until nothing more is found: what finalizers let go of is there for the next one. */
const heapBy = async (ask: ReturnType<typeof inspector>["ask"]): Promise<number> => {
  for (let round = 0; round < 4; round++) {
    await ask("HeapProfiler.collectGarbage")
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  const { backingStorageSize = 0, usedSize } = await ask("Runtime.getHeapUsage")
  return Number(usedSize) + Number(backingStorageSize)
}

/** Starts the program in this folder. Debouncing is HTTP's own: none. */
export const start = async (
  folder: string,
  configuration: object,
  options: { readonly inspected?: boolean } = {}
): Promise<Running> => {
  mkdirSync(folder, { recursive: true })
  const most = { perSecond: 1_000_000, burst: 1_000_000 }
  const limits = { sender: most, total: most, readers: 4096 }
  writeFileSync(join(folder, "sluice.json"), JSON.stringify({ limits, ...configuration }))
  const state = join(folder, "state")
  const flags = options.inspected === true ? ["--inspect=127.0.0.1:0"] : []
  const child = spawn(process.execPath, [...flags, join(root, "apps/gateway/dist/bin.js"), "run"], {
    cwd: folder,
    env: {
      PATH: process.env["PATH"],
      HOME: process.env["HOME"],
      TMPDIR: process.env["TMPDIR"],
      SLUICE_PORT: "0",
      SLUICE_STATE_DIR: state,
      SLUICE_LOG_FORMAT: "json",
      SLUICE_LOG_LEVEL: "warn"
    },
    stdio: ["ignore", "pipe", "pipe"]
  })
  const kill = () => void child.kill("SIGKILL")
  process.on("exit", kill)
  const said = lastWords(child)
  const inspecting = options.inspected === true ? inspector(await hear(child, said, /(ws:\/\/\S+)/)) : undefined
  const url = await hear(child, said, /"url":"(http[^"]+)"/)
  return {
    pid: child.pid ?? 0,
    url,
    token: readFileSync(join(state, "token"), "utf8").trim(),
    said,
    stop: async () => {
      inspecting?.close()
      await ended(child)
      process.off("exit", kill)
    },
    weigh: async () => {
      if (inspecting === undefined) throw new Error("the gateway was started without an inspector")
      return { heap: await heapBy(inspecting.ask), resident: residentOf(child.pid ?? 0) }
    }
  }
}

/** A client with connections of its own. */
export interface Client {
  /** Says something and waits for the answer, or only until it is stored. */
  readonly say: (conversation: string, text: string, wait: boolean) => Promise<string>
  /** Follows what happens in a conversation, from when this returns. */
  readonly follow: (conversation: string, see: (event: string, data: string) => void) => Promise<() => void>
  readonly close: () => void
}

const whole = async (response: IncomingMessage): Promise<string> => {
  let text = ""
  for await (const chunk of response.setEncoding("utf8")) text += String(chunk)
  return text
}

/** Cuts server-sent events out of what comes; one without a name is a `message`, as the format has it. */
export const eventsIn = (see: (event: string, data: string) => void) => {
  let held = ""
  return (chunk: string): void => {
    const blocks = (held + chunk).split("\n\n")
    held = blocks.pop() ?? ""
    for (const block of blocks) {
      const data = /^data: (.*)$/m.exec(block)?.[1]
      if (data !== undefined) see(/^event: (.*)$/m.exec(block)?.[1] ?? "message", data)
    }
  }
}

/** Speaks with a gateway over connections that stay open. */
export const client = ({ token, url }: Pick<Running, "token" | "url">): Client => {
  const agent = new Agent({ keepAlive: true })
  const authorization = `Bearer ${token}`
  const post = (path: string, body: string): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const headers = { authorization, "content-type": "application/json", "content-length": Buffer.byteLength(body) }
      const sent = request(`${url}${path}`, { agent, method: "POST", headers }, resolve)
      sent.on("error", reject)
      sent.end(body)
    })
  return {
    say: async (conversation, text, wait) => {
      const path = `/v1/conversations/${conversation}/messages${wait ? "?wait=2m" : ""}`
      const response = await post(path, JSON.stringify({ text, sender: "kim" }))
      const answer = await whole(response)
      if (response.statusCode !== (wait ? 200 : 202) || (wait && !answer.includes('"ended":"replied"')))
        throw new Error(`"${text}" in ${conversation} was answered with ${response.statusCode}: ${answer}`)
      return answer
    },
    follow: (conversation, see) =>
      new Promise((resolve, reject) => {
        const path = `${url}/v1/conversations/${conversation}/events?after=latest`
        const sent = request(path, { headers: { authorization } }, (response) => {
          const hear = eventsIn((event, data) => {
            if (event === "ready") resolve(() => sent.destroy())
            else see(event, data)
          })
          response.setEncoding("utf8").on("data", hear)
          // Let go of by who follows.
          response.on("error", () => sent.destroy())
        })
        sent.on("error", reject)
        sent.end()
      }),
    close: () => agent.destroy()
  }
}
