/**
 * A client of /v1/ws as docs/websocket.md wants one: it sends under the same id
 * until it is told, resumes behind the last reply that it was shown, and writes
 * down everything that it saw and how each connection ended. It goes on over as
 * many boots as there are.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type { Pulled } from "./records.ts"

/** What was said of a message. */
export interface Receipt {
  readonly seq: number
  readonly duplicate: boolean
  readonly held: boolean
}

type Frame = Pulled &
  Omit<Receipt, "held"> & {
    readonly type: string
    readonly id: string
    readonly held?: boolean
    readonly detail: string
    readonly retryAfter?: number
  }

/** One conversation on a socket of its own. */
export interface SocketClient {
  /** Sends until it is told; dies when it is refused for good. */
  readonly send: (id: string, text: string) => Effect.Effect<Receipt>
  /** Everything that it was shown, in that order. */
  readonly shown: ReadonlyArray<Pulled>
  /** Completes as soon as what it was shown is as wanted. */
  readonly until: (wanted: (shown: ReadonlyArray<Pulled>) => boolean) => Effect.Effect<void>
  /** The codes with which its connections ended. */
  readonly codes: ReadonlyArray<number>
  /** Completes as soon as a connection has ended with this code. */
  readonly ended: (code: number) => Effect.Effect<void>
}

/** Connects, and again whenever it is cut; `place` says where the gateway is now, if it is anywhere. */
export const socketClient = (place: { readonly url: string; readonly token: string }, conversation: string) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => connected(place, conversation)),
      ({ leave }) => Effect.sync(leave)
    ),
    ({ client }) => client
  )

const connected = (place: { readonly url: string; readonly token: string }, conversation: string) => {
  const shown: Array<Pulled> = []
  const codes: Array<number> = []
  const unsettled = new Map<string, { readonly text: string; readonly told: Deferred.Deferred<Receipt> }>()
  const watchers = new Set<() => void>()
  let after = 0
  let socket: WebSocket | undefined
  let over = false

  const write = (frame: object) => {
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame))
  }
  const say = (id: string) => {
    const text = unsettled.get(id)?.text
    if (text !== undefined) write({ type: "message", conversation, id, text })
  }
  const resume = () => write({ type: "resume", conversation, after })
  const notify = () => watchers.forEach((look) => look())

  const hear = (frame: Frame) => {
    if (frame.type === "reply") {
      after = frame.number
      shown.push(frame)
      notify()
    } else if (frame.type === "accepted") {
      const { duplicate, held, seq } = frame
      settle(frame.id, Effect.succeed({ seq, duplicate, held: held === true }))
    } else if (frame.type === "error") {
      const again = () => (frame.id === undefined ? resume() : say(frame.id))
      if (frame.retryAfter !== undefined) setTimeout(again, frame.retryAfter)
      else settle(frame.id, Effect.die(new Error(`refused: ${frame.detail}`)))
    }
  }
  const settle = (id: string, outcome: Effect.Effect<Receipt>) => {
    const entry = unsettled.get(id)
    unsettled.delete(id)
    if (entry !== undefined) Deferred.doneUnsafe(entry.told, outcome)
  }

  const connect = (): void => {
    if (over) return
    const next = () => void setTimeout(connect, 30)
    if (place.url === "") return next()
    socket = new WebSocket(`${place.url.replace("http", "ws")}/v1/ws`, [
      "sluice.v1",
      `sluice.bearer.${encodeURIComponent(place.token)}`
    ])
    socket.addEventListener("open", () => {
      resume()
      for (const id of unsettled.keys()) say(id)
    })
    socket.addEventListener("message", ({ data }) => hear(JSON.parse(String(data))))
    socket.addEventListener("close", ({ code }) => {
      codes.push(code)
      notify()
      next()
    })
  }
  connect()

  const when = (holds: () => boolean) =>
    Effect.callback<void>((resume) => {
      const look = () => {
        if (!holds()) return
        watchers.delete(look)
        resume(Effect.void)
      }
      watchers.add(look)
      look()
      return Effect.sync(() => watchers.delete(look))
    })

  const client: SocketClient = {
    send: (id, text) =>
      Effect.suspend(() => {
        const told = Deferred.makeUnsafe<Receipt>()
        unsettled.set(id, { text, told })
        say(id)
        return Deferred.await(told)
      }),
    shown,
    until: (wanted) => when(() => wanted(shown)),
    codes,
    ended: (code) => when(() => codes.includes(code))
  }
  const leave = () => {
    over = true
    socket?.close()
  }
  return { client, leave }
}
