/**
 * Clients that nobody should have to wait for: they open a connection and say
 * nothing, a header without an end, half a body, one byte now and then, or ask for
 * much and never read it. Each is one socket; how many the gateway let in is the
 * proof that they were there.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { connect, type Socket } from "node:net"

/** What a bad client does. */
export type Manner = "silent" | "half-header" | "half-body" | "slow-writer" | "deaf" | "deaf-stream"

export const manners: ReadonlyArray<Manner> = [
  "silent",
  "half-header",
  "half-body",
  "slow-writer",
  "deaf",
  "deaf-stream"
]

/** A crowd of them. */
export interface Crowd {
  /** How many were let in. */
  readonly connected: () => number
  /** How many the gateway sent away. */
  readonly closed: () => number
  /** They go without a word. */
  readonly leave: Effect.Effect<void>
}

const byteMillis = 50
const path = "/v1/conversations/nobody"

const words = (manner: Manner, token: string): string => {
  const head = `host: 127.0.0.1\r\nauthorization: Bearer ${token}\r\ncontent-type: application/json\r\n`
  switch (manner) {
    case "silent":
      return ""
    case "half-header":
      return `POST ${path}/messages HTTP/1.1\r\n${head}x-more: `
    case "half-body":
      return `POST ${path}/messages HTTP/1.1\r\n${head}content-length: 4096\r\n\r\n{"text":"`
    case "slow-writer":
      return `POST ${path}/messages HTTP/1.1\r\n`
    case "deaf":
      // Many answers on one connection, none of which is read.
      return `GET ${path}/replies?after=0 HTTP/1.1\r\n${head}\r\n`.repeat(2_000)
    case "deaf-stream":
      return `GET ${path}/events HTTP/1.1\r\n${head}\r\n`
  }
}

const begin = (port: number, token: string, manner: Manner, counts: { connected: number; closed: number }): Socket => {
  const socket = connect(port, "127.0.0.1", () => {
    counts.connected++
    socket.write(words(manner, token))
    if (manner === "deaf" || manner === "deaf-stream") socket.pause()
    if (manner !== "slow-writer") return
    const timer = setInterval(() => socket.write("x"), byteMillis)
    socket.on("close", () => clearInterval(timer))
  })
  // To be sent away is what they deserve; the count tells.
  socket.on("error", () => undefined)
  socket.on("close", () => counts.closed++)
  return socket
}

/** So many of each manner; they are gone with the scope. */
export const come = (
  port: number,
  token: string,
  each: number,
  which: ReadonlyArray<Manner> = manners
): Effect.Effect<Crowd, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const counts = { connected: 0, closed: 0 }
      const sockets = which.flatMap((manner) => Array.from({ length: each }, () => begin(port, token, manner, counts)))
      return {
        connected: () => counts.connected,
        closed: () => counts.closed,
        leave: Effect.sync(() => {
          for (const socket of sockets) socket.destroy()
        })
      }
    }),
    ({ leave }) => leave
  )
