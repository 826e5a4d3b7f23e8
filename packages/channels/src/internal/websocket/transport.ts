/**
 * What lies under a WebSocket: the connection of Node's server. Effect's socket
 * writes without looking at what the other side takes and has no pings, so this
 * is where a slow reader shows (bytes that wait), where a dead one does (no byte
 * comes, not even the answer to a ping), and what ends one that answers nothing.
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"

/** The part of Node's socket that is used here. */
interface NodeSocket {
  readonly destroyed: boolean
  readonly bytesRead: number
  readonly bytesWritten: number
  readonly writableLength: number
  readonly writableNeedDrain: boolean
  on(event: "drain" | "close", listener: () => void): unknown
  off(event: "drain" | "close", listener: () => void): unknown
  write(data: Uint8Array): unknown
  cork(): void
  uncork(): void
  destroy(): unknown
}

const isNodeSocket = (socket: unknown): socket is NodeSocket =>
  Predicate.hasProperty(socket, "writableNeedDrain") &&
  Predicate.hasProperty(socket, "bytesRead") &&
  Predicate.hasProperty(socket, "destroy")

/** The connection under a WebSocket. */
export interface Transport {
  /** Whether it holds as much as it should: what is written now waits. */
  readonly isFull: () => boolean
  /** Completes when it is not full any more, or gone. */
  readonly room: Effect.Effect<void>
  /** What is written until the end of this turn of the loop goes out in one step: a commit answers many frames. */
  readonly gather: () => void
  /** Bytes that were written and not taken. */
  readonly waiting: () => number
  /** Bytes that were taken so far. */
  readonly taken: () => number
  /** Bytes that came so far; `undefined` where nobody counts them. */
  readonly heard: () => number | undefined
  /** Asks for a sign of life. Every client answers by itself. */
  readonly ping: () => void
  /** Ends it at once. */
  readonly destroy: () => void
}

/** Where nothing is known of the connection, the platform bounds it. */
const unknown: Transport = {
  isFull: () => false,
  room: Effect.void,
  gather: () => {},
  waiting: () => 0,
  taken: () => 0,
  heard: () => undefined,
  ping: () => {},
  destroy: () => {}
}

// A ping without a payload. Frames of the server are not compressed and each is written in one step, so this never
// lands within another one.
const pingFrame = Uint8Array.of(0x89, 0)

/** The connection of a request, as the platform gives it. */
export const transportOf = (source: unknown): Transport => {
  const socket = Predicate.hasProperty(source, "socket") ? source.socket : undefined
  if (!isNodeSocket(socket)) return unknown
  const isFull = () => socket.writableNeedDrain && !socket.destroyed
  let gathering = false
  // Everybody who waits shares one listener: Node warns of more than ten.
  const queue = new Set<() => void>()
  const wake = () => {
    const woken = [...queue]
    queue.clear()
    socket.off("drain", wake)
    socket.off("close", wake)
    for (const go of woken) go()
  }
  return {
    isFull,
    room: Effect.callback<void>((resume) => {
      if (!isFull()) return resume(Effect.void)
      if (queue.size === 0) {
        socket.on("drain", wake)
        socket.on("close", wake)
      }
      const go = () => resume(Effect.void)
      queue.add(go)
      return Effect.sync(() => void queue.delete(go))
    }),
    gather: () => {
      if (gathering || socket.destroyed) return
      gathering = true
      socket.cork()
      setImmediate(() => {
        gathering = false
        socket.uncork()
      })
    },
    waiting: () => socket.writableLength,
    taken: () => socket.bytesWritten - socket.writableLength,
    heard: () => socket.bytesRead,
    ping: () => void socket.write(pingFrame),
    destroy: () => void socket.destroy()
  }
}
