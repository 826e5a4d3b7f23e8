// What an agent remembers of its sessions: what it keeps and the past that it is given survive its process, belong to one
// agent of one session, and end at a fresh start.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Agent from "../src/Agent.ts"
import { type Boot, type BootOptions, lived, rest, world } from "./guarantees/boots.ts"
import { TestAgent } from "../src/testing/index.ts"

/** Answers with what it had kept and what it has of the past, and then keeps the turn's text. */
const rememberer = (book: Array<Agent.AgentSession> = []): Agent.Agent =>
  Agent.make({
    open: (session) =>
      Effect.sync(() => {
        book.push(session)
        return {
          answer: (turn) =>
            Stream.fromEffect(
              Effect.gen(function* () {
                if (turn.text === "lost") {
                  return yield* new Agent.AgentError({ reason: "HistoryGone", cause: new Error("not there any more") })
                }
                const kept = (yield* session.kept) ?? "nothing"
                const past = yield* session.history({ limit: 10 })
                yield* session.keep(turn.text === "forget" ? undefined : turn.text)
                return Agent.text(`${kept}; ${past.map((one) => one.messages[0]?.text).join(" ")}`)
              })
            )
        }
      })
  })

const options = (agent: Agent.Agent): BootOptions => ({
  debounce: { quiet: 0 },
  agent: { ...TestAgent.make(), agent }
})

describe("what an agent keeps", () => {
  it.effect("Q12: kept values and history are there after a crash, and gone after /new", () =>
    Effect.gen(function* () {
      const place = yield* world({ pull: "pull" })
      const said: Array<string> = []
      const say = (boot: Boot, id: string, text: string) =>
        Effect.gen(function* () {
          const { seq } = yield* boot.say("kim", text, id, "pull")
          yield* rest(boot, "pull/kim")
          const standing = yield* boot.handle("pull").ended(seq)
          said.push(...(standing?.replies ?? []).map((reply) => reply.text))
        })
      yield* lived(place, options(rememberer()), (boot) =>
        Effect.gen(function* () {
          yield* say(boot, "1", "one")
          yield* say(boot, "2", "two")
          yield* boot.crash
        })
      )
      yield* lived(place, options(rememberer()), (boot) =>
        Effect.gen(function* () {
          yield* say(boot, "3", "three")
          yield* say(boot, "4", "lost")
          yield* say(boot, "5", "/new")
          yield* say(boot, "6", "four")
          yield* say(boot, "7", "forget")
          yield* say(boot, "8", "five")
        })
      )
      assert.deepStrictEqual(said, [
        "nothing; ",
        "one; one",
        "two; two one",
        "I can't find our earlier conversation.\n[Try again: /retry] [Start fresh: /new]",
        "A fresh start.",
        "nothing; ",
        "four; four",
        "nothing; forget four"
      ])
    }).pipe(Effect.scoped)
  )

  it.effect("more than 16 KiB is not kept, and what was kept stays", () =>
    Effect.gen(function* () {
      const place = yield* world({ pull: "pull" })
      const book: Array<Agent.AgentSession> = []
      yield* lived(place, options(rememberer(book)), (boot) =>
        Effect.gen(function* () {
          yield* boot.say("kim", "one", "1", "pull")
          yield* rest(boot, "pull/kim")
          const [session] = book
          if (session === undefined) return assert.fail("no session was opened")
          const error = yield* Effect.flip(session.keep("é".repeat(8193)))
          assert.strictEqual(error.reason, "Failed")
          assert.strictEqual(yield* session.kept, "one")
          yield* session.keep("é".repeat(8192))
          assert.strictEqual((yield* session.kept)?.length, 8192)
        })
      )
    }).pipe(Effect.scoped)
  )
})
