// One owner per store: a second gateway says so and goes, tools look without disturbing, and after a crash the store is
// free at once.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { launch, now, start, tool } from "../harness.ts"

describe("one owner per store", () => {
  it.live("D12: a second gateway on the same store exits 69 with a sentence, and the first one goes on", () =>
    Effect.gen(function* () {
      const first = yield* start()
      const before = now()
      const second = yield* launch({ folder: first.folder })
      const exit = yield* second.exited
      assert.strictEqual(exit.code, 69)
      assert.isBelow(exit.at - before, 20_000)
      assert.match(second.output().err.join("\n"), /another gateway|holds the store|in use/i)
      yield* first.client.send("kim", "hello")
      assert.lengthOf(yield* first.client.repliesUntil("kim", 1), 1)
    }).pipe(Effect.scoped)
  )

  it.live("D12: status and audit answer from the running gateway and from the store, and disturb neither", () =>
    Effect.gen(function* () {
      const gateway = yield* start()
      yield* gateway.client.send("kim", "hello")
      yield* gateway.client.repliesUntil("kim", 1)
      const status = yield* tool(gateway.folder, ["status", "--json"])
      assert.deepInclude(status.json, { running: true, answering: true, epoch: gateway.facts.epoch })
      assert.strictEqual(status.code, 0)
      const audit = yield* tool(gateway.folder, ["audit", "--json"])
      assert.deepInclude(audit.json, { from: "gateway", accepted: 1, open: 0, balanced: true })
      // A gateway that is paused does not answer: the store does.
      yield* gateway.signal("SIGSTOP")
      const silent = yield* tool(gateway.folder, ["status", "--json"])
      assert.deepInclude(silent.json, { running: true, answering: false, epoch: gateway.facts.epoch })
      yield* gateway.signal("SIGCONT")
      yield* gateway.client.send("kim", "again")
      assert.lengthOf(yield* gateway.client.repliesUntil("kim", 1, 1), 1)
      yield* gateway.signal("SIGTERM")
      assert.strictEqual((yield* gateway.exited).code, 0)
      const stopped = yield* tool(gateway.folder, ["status", "--json"])
      assert.strictEqual(stopped.code, 3)
      assert.deepInclude(stopped.json, { running: false, answering: false })
      const later = yield* tool(gateway.folder, ["audit", "--json"])
      assert.deepInclude(later.json, { from: "store", accepted: 2, open: 0, balanced: true })
    }).pipe(Effect.scoped)
  )

  it.live("D12: after kill -9 the store is free at once", () =>
    Effect.gen(function* () {
      const gateway = yield* start()
      yield* gateway.signal("SIGKILL")
      yield* gateway.exited
      const next = yield* start({ folder: gateway.folder })
      assert.strictEqual(next.facts.epoch, gateway.facts.epoch + 1)
    }).pipe(Effect.scoped)
  )
})
