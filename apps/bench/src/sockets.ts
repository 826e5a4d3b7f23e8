/**
 * WS1: WebSocket intake with a durable accept over a bare socket server, T12 for sockets. WS2: what a thousand sockets
 * on which nothing happens weigh and use. The servers are processes of their own, the clients are this process.
 */
import * as NodeWS from "@effect/platform-node/NodeWS"
import { mkdirSync } from "node:fs"
import { join } from "node:path"
import { type Figure, interleave, median, now, perSecond, thousands } from "./figure.ts"
import { serve } from "./http.ts"
import { cpuOf, residentOf } from "./processes.ts"
import { inFolder } from "./store.ts"

const clients = 64
const count = 12_800
const text = "hello, this is a message of a usual length for a chat"

const open = (url: string, heard: (frame: { readonly type: string; readonly id: string }) => void) =>
  new Promise<NodeWS.WebSocket>((resolve, reject) => {
    const socket = new NodeWS.WebSocket(`${url.replace("http", "ws")}/v1/ws`, {
      headers: { authorization: "Bearer bench" }
    })
    socket.binaryType = "nodebuffer"
    socket.on("message", (data) => heard(JSON.parse(Buffer.isBuffer(data) ? data.toString() : "{}")))
    socket.once("open", () => resolve(socket))
    socket.once("error", reject)
  })

/** Sends its share with so many under way, each in a conversation of its own, and completes with the last receipt. */
const client = async (url: string, name: string, underWay: number, run: string): Promise<void> => {
  const share = count / clients
  let sent = 0
  let accepted = 0
  let done: () => void = () => {}
  const finished = new Promise<void>((resolve) => (done = resolve))
  const socket = await open(url, ({ type }) => {
    if (type !== "accepted") throw new Error(`${type} instead of accepted`)
    if (++accepted === share) done()
    else next()
  })
  const next = () => {
    if (sent === share) return
    const conversation = `${name}-${sent % underWay}`
    socket.send(JSON.stringify({ type: "message", conversation, id: `${run}-${sent++}`, text, sender: "kim" }))
  }
  for (let n = 0; n < underWay; n++) next()
  await finished
  socket.terminate()
}

const load = async (url: string, underWay: number): Promise<number> => {
  const run = `${now()}`
  const start = now()
  await Promise.all(Array.from({ length: clients }, (_, index) => client(url, `c${index}`, underWay, run)))
  return perSecond(count, now() - start)
}

/** The gateway's HTTP channel with a store in a folder of its own. */
const withGateway = <A>(use: (url: string, pid: number) => Promise<A>): Promise<A> =>
  inFolder((folder) => {
    const state = join(folder, "state")
    mkdirSync(state)
    return serve(["gateway", state], use)
  })

export const WS1 = (): Promise<Figure> =>
  serve(["bare"], (bare) =>
    withGateway(async (gateway) => {
      const ratioOf = (underWay: number) =>
        interleave(
          5,
          () => load(gateway, underWay),
          () => load(bare, underWay)
        )
      const one = await ratioOf(1)
      const many = await ratioOf(16)
      const said = ({ a, b, ratio }: typeof one) =>
        `${ratio.toFixed(2)} (${thousands(median(a))} over ${thousands(median(b))})`
      return {
        id: "WS1",
        what: "WebSocket intake with durable accept over a bare socket server, 64 sockets; one message under way, sixteen",
        target: ">= 0.7",
        measured: `${said(one)}; ${said(many)}`,
        met: many.ratio >= 0.7
      }
    })
  )

const sockets = 1000
/** Three heartbeats of 15 s. */
const rest = 45_000

const pause = (millis: number) => new Promise<void>((resolve) => setTimeout(resolve, millis))

interface Weight {
  /** Bytes of resident memory for each socket. */
  readonly each: number
  /** The share of a core that all of them use. */
  readonly core: number
}

/** Opens them all, lets them rest, and says what they weigh and use. */
const weigh = async (
  url: string,
  pid: number,
  opened: (socket: NodeWS.WebSocket, index: number) => void
): Promise<Weight> => {
  await pause(2000)
  const before = residentOf(pid)
  const all: Array<NodeWS.WebSocket> = []
  for (let index = 0; index < sockets; index++) {
    const answer = Promise.withResolvers<void>()
    const socket = await open(url, () => answer.resolve())
    all.push(socket)
    opened(socket, index)
    await answer.promise
  }
  await pause(2000)
  const began = { cpu: cpuOf(pid), at: now() }
  await pause(rest)
  const core = (cpuOf(pid) - began.cpu) / (now() - began.at)
  const each = (residentOf(pid) - before) / sockets
  const alive = all.filter(({ readyState }) => readyState === NodeWS.WebSocket.OPEN).length
  if (alive < sockets) throw new Error(`only ${alive} of ${sockets} sockets are still open`)
  for (const socket of all) socket.terminate()
  return { each, core }
}

const resume = (socket: NodeWS.WebSocket, index: number) =>
  socket.send(JSON.stringify({ type: "resume", conversation: `c${index}`, after: 0 }))

const message = (socket: NodeWS.WebSocket, index: number) =>
  socket.send(JSON.stringify({ type: "message", conversation: `c${index}`, id: "1", text }))

export const WS2 = async (): Promise<Figure> => {
  const gateway = await withGateway((url, pid) => weigh(url, pid, resume))
  const bare = await serve(["bare"], (url, pid) => weigh(url, pid, message))
  const kib = (bytes: number) => `${(bytes / 1024).toFixed(0)} KiB`
  return {
    id: "WS2",
    what: "1,000 idle sockets, each showing one conversation: resident memory of each, beside a bare socket server; time of a core",
    target: "",
    measured: `${kib(gateway.each)}, ${kib(bare.each)}; ${(gateway.core * 100).toFixed(2)} % of a core`
  }
}
