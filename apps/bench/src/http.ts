/**
 * T12: HTTP intake with a durable accept over the bare router. Both servers are processes of their own and stay up for
 * all rounds; the 64 keep-alive clients are this process and load both alike.
 */
import { spawn } from "node:child_process"
import { mkdirSync } from "node:fs"
import { Agent, request } from "node:http"
import { join } from "node:path"
import { type Figure, interleave, median, now, perSecond, thousands } from "./figure.ts"
import { inFolder } from "./store.ts"

const clients = 64
const count = 12_800

const body = JSON.stringify({ text: "hello, this is a message of a usual length for a chat", sender: "kim" })

const send = (agent: Agent, url: string, client: number, id: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const sent = request(
      `${url}/v1/conversations/c${client}/messages`,
      {
        agent,
        method: "POST",
        headers: {
          authorization: "Bearer bench",
          "content-type": "application/json",
          "content-length": Buffer.byteLength(body),
          "idempotency-key": id
        }
      },
      (response) => {
        response.resume()
        response.on("end", () =>
          response.statusCode === 202 ? resolve() : reject(new Error(`status ${response.statusCode} instead of 202`))
        )
      }
    )
    sent.on("error", reject)
    sent.end(body)
  })

const load = async (url: string): Promise<number> => {
  const agent = new Agent({ keepAlive: true, maxSockets: clients })
  const run = `${now()}`
  const start = now()
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      for (let i = 0; i < count / clients; i++) await send(agent, url, client, `${run}-${i}`)
    })
  )
  const took = now() - start
  agent.destroy()
  return perSecond(count, took)
}

/** A server from a file that prints its address, as a process of its own, for as long as it is used. */
export const serveFrom = async <A>(
  file: string,
  args: ReadonlyArray<string>,
  use: (url: string, pid: number) => Promise<A>
): Promise<A> => {
  const child = spawn(process.execPath, [file, ...args], { stdio: ["pipe", "pipe", "inherit"] })
  const exited = new Promise<void>((resolve) => child.on("exit", () => resolve()))
  try {
    const url = await new Promise<string>((resolve, reject) => {
      let text = ""
      child.stdout.on("data", (chunk: Buffer) => {
        text += chunk.toString()
        const line = /http:\/\/\S+/.exec(text)
        if (line !== null) resolve(line[0])
      })
      child.on("exit", () => reject(new Error("the server ended before it listened")))
    })
    return await use(url, child.pid ?? 0)
  } finally {
    child.stdin.end()
    await exited
  }
}

/** One of the servers of the channels. */
export const serve = <A>(args: ReadonlyArray<string>, use: (url: string, pid: number) => Promise<A>): Promise<A> =>
  serveFrom(join(import.meta.dirname, "servers.ts"), args, use)

export const T12 = (): Promise<Figure> =>
  inFolder((folder) =>
    serve(["bare"], (bare) => {
      const state = join(folder, "state")
      mkdirSync(state)
      return serve(["gateway", state], async (gateway) => {
        const { a, b, ratio } = await interleave(
          5,
          () => load(gateway),
          () => load(bare)
        )
        return {
          id: "T12",
          what: "HTTP intake with durable accept over the bare router, 64 keep-alive clients",
          target: ">= 0.8",
          measured: `${ratio.toFixed(2)} (${thousands(median(a))} over ${thousands(median(b))})`,
          met: ratio >= 0.8
        }
      })
    })
  )
