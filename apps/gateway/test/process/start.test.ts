// The start, as a person at a terminal and as a machine that reads a log see it.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { launch, start, until } from "../harness.ts"

describe("the start", () => {
  it.live(
    "says in a few lines: address, agents, channels with their class, journal, token, deadline and the last stop",
    () =>
      Effect.gen(function* () {
        const gateway = yield* launch({
          configuration: "agents: { main: { kind: demo }, echo: { kind: demo } }\n",
          environment: { SLUICE_LOG_FORMAT: "pretty", SLUICE_STOP_BUDGET: "20s" }
        })
        const lines = yield* until(
          "it says everything",
          Effect.sync(() => gateway.output().out),
          (found) => found.length >= 7
        )
        const masked = lines.map((line) => line.replace(/127\.0\.0\.1:\d+/, "127.0.0.1:4747"))
        assert.deepStrictEqual(masked, [
          "sluice 0.1.0 is ready at http://127.0.0.1:4747",
          "  agents     main (default), echo",
          "  channel    http: keyed (pull by number)",
          "  journal    .sluice/journal.db, boot 1",
          "  token      .sluice/token",
          `  deadline   ${lines[5]?.split("deadline   ")[1]}`,
          "  last stop  none, this is the first start"
        ])
        assert.match(lines[5] ?? "", /deadline {3}17 s for a stop \(SLUICE_STOP_BUDGET.*\)/)
        yield* gateway.signal("SIGTERM")
        assert.strictEqual((yield* gateway.exited).code, 0)
        assert.match(gateway.output().out[7] ?? "", /^Stopped in .* \(SIGTERM\): clean, exit 0$/)
      }).pipe(Effect.scoped)
  )

  it.live("says it is ready, and what became of the stop, also when only errors are logged", () =>
    Effect.gen(function* () {
      const gateway = yield* start({ environment: { SLUICE_LOG_LEVEL: "error", SLUICE_UNKNOWN: "1" } })
      yield* gateway.signal("SIGTERM")
      yield* gateway.exited
      const messages = gateway.output().out.map((line) => JSON.parse(line).message)
      assert.deepStrictEqual(messages, ["ready", "stopped"])
    }).pipe(Effect.scoped)
  )

  it.live("warns about what has no effect", () =>
    Effect.gen(function* () {
      const gateway = yield* start({ environment: { SLUICE_PROT: "1" } })
      const event = yield* gateway.event("a warning", ({ level }) => level === "warn")
      assert.strictEqual(
        event.message,
        'variable SLUICE_PROT is not known and has no effect; did you mean "SLUICE_PORT"?'
      )
    }).pipe(Effect.scoped)
  )

  it.live("a reader of the log that goes away does not end the gateway", () =>
    Effect.gen(function* () {
      const gateway = yield* start()
      yield* gateway.deafen
      yield* gateway.signal("SIGHUP")
      yield* gateway.client.send("kim", "are you there")
      assert.strictEqual((yield* gateway.client.repliesUntil("kim", 1))[0]?.text, "are you there")
      yield* gateway.signal("SIGTERM")
      assert.strictEqual((yield* gateway.exited).code, 0)
    }).pipe(Effect.scoped)
  )
})
