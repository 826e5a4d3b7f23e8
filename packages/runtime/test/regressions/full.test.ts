// A full queue that refuses what is new: also of many that come at once, whoever is told "accepted" is not dropped for it.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { TestAgent } from "../../src/testing/index.ts"
import { boot, meanwhile, world } from "../guarantees/boots.ts"

describe("a full queue", () => {
  it.effect(
    "Q5: of many messages in one tick it accepts as many as have room, and refuses the others before the commit",
    () =>
      Effect.gen(function* () {
        const place = yield* world()
        const agent = TestAgent.make()
        const current = yield* boot(place, { agent, queue: { cap: 2, drop: "new" } })
        const say = (text: string) => current.gateway.accept({ conversation: "kim", sender: "kim", text })
        yield* say("first")
        const run = yield* agent.run(1)
        const told = yield* Effect.forEach(
          Array.from({ length: 8 }, (_, n) => `m${n}`),
          (text) => Effect.exit(say(text)),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(
          told.map((exit) => exit._tag),
          ["Success", "Success", ...Array.from({ length: 6 }, () => "Failure" as const)]
        )
        yield* run.finish("done")
        yield* (yield* agent.run(2)).finish("both")
        yield* meanwhile(current.gateway.settled("kim"))
        const ledger = yield* current.gateway.audit
        assert.deepStrictEqual([ledger.detail, ledger.balanced], [{ replied: 3 }, true])
      })
  )
})
