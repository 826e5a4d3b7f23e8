/**
 * Somebody who has a WebSocket instead of requests: one connection after the other, as
 * long as they break, each resumed behind the last reply that was noted. One try of a
 * message is one frame and what is answered to it; a connection that breaks in between
 * is no answer, and leaves open whether the message arrived.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Place, Reply } from "./place.ts"
import { type Answer, Unanswered } from "./wire.ts"

/** One conversation on a socket. */
export interface SocketTalk {
  /** One try: the answer as HTTP would have given it. */
  readonly tell: (id: string, text: string) => Effect.Effect<Answer, Unanswered>
}

/** What is noted of the conversation's replies. */
export interface Notes {
  readonly after: () => number
  readonly reply: (reply: Reply) => void
}

interface Frame extends Reply {
  readonly type: string
  readonly status?: number
  readonly seq?: number
  readonly duplicate?: boolean
}

/** Tries that wait for their answer, by the message's id: two tries of one message are answered twice. */
class Tries {
  readonly #waiting = new Map<string, Array<Deferred.Deferred<Answer, Unanswered>>>()

  begin(id: string): Deferred.Deferred<Answer, Unanswered> {
    const answer = Deferred.makeUnsafe<Answer, Unanswered>()
    this.#waiting.set(id, [...(this.#waiting.get(id) ?? []), answer])
    return answer
  }

  settle(id: string, answer: Answer): void {
    const [first, ...rest] = this.#waiting.get(id) ?? []
    if (rest.length === 0) this.#waiting.delete(id)
    else this.#waiting.set(id, rest)
    if (first !== undefined) Deferred.doneUnsafe(first, Effect.succeed(answer))
  }

  lost(code: string): void {
    const lost = Effect.fail(new Unanswered({ reached: true, code }))
    for (const answer of [...this.#waiting.values()].flat()) Deferred.doneUnsafe(answer, lost)
    this.#waiting.clear()
  }
}

/** Before connecting again, in milliseconds. */
const pause = 15
/** How often a sign of life is asked for; without one for three times as long the connection is given up. */
const beat = 1000

const connecting = (place: Place, conversation: string, notes: Notes) => {
  const tries = new Tries()
  let socket: WebSocket | undefined
  let over = false

  const hear = (frame: Frame) => {
    if (frame.type === "reply") notes.reply(frame)
    else if (frame.type === "accepted") {
      tries.settle(frame.id, { status: 202, body: { seq: frame.seq, duplicate: frame.duplicate } })
    } else if (frame.type === "error" && frame.id !== undefined) {
      tries.settle(frame.id, { status: frame.status ?? 0, body: { ...frame } })
    } else if (frame.type === "error") {
      // It is not shown any more: a new connection resumes it.
      socket?.close()
    }
  }
  const connect = (): void => {
    if (over) return
    const again = () => void setTimeout(connect, pause)
    if (place.wire === undefined) return again()
    const made = new WebSocket(`${place.wire.url.replace("http", "ws")}/v1/ws`, [
      "sluice.v1",
      `sluice.bearer.${encodeURIComponent(place.token)}`
    ])
    socket = made
    let silent = 0
    // A bad line may swallow everything and stay open.
    const watch = setInterval(() => {
      if (++silent > 3) gone("silent")
      else if (made.readyState === WebSocket.OPEN) made.send(JSON.stringify({ type: "ping" }))
    }, beat)
    const gone = (code: string) => {
      clearInterval(watch)
      if (socket !== made) return
      socket = undefined
      made.close()
      tries.lost(code)
      again()
    }
    made.addEventListener("open", () =>
      made.send(JSON.stringify({ type: "resume", conversation, after: notes.after(), events: false }))
    )
    made.addEventListener("message", ({ data }) => {
      silent = 0
      if (socket === made) hear(JSON.parse(String(data)))
    })
    made.addEventListener("close", ({ code }) => gone(String(code)))
  }
  connect()

  const tell: SocketTalk["tell"] = (id, text) =>
    Effect.suspend(() => {
      if (socket?.readyState !== WebSocket.OPEN) return Effect.fail(new Unanswered({ reached: false, code: "closed" }))
      const answer = tries.begin(id)
      socket.send(JSON.stringify({ type: "message", conversation, id, text }))
      return Deferred.await(answer)
    })
  const leave = () => {
    over = true
    socket?.close()
    tries.lost("left")
  }
  return { talk: { tell }, leave }
}

/** Connects for as long as the scope is open. */
export const socketTalk = (
  place: Place,
  conversation: string,
  notes: Notes
): Effect.Effect<SocketTalk, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => connecting(place, conversation, notes)),
      ({ leave }) => Effect.sync(leave)
    ),
    ({ talk }) => talk
  )
