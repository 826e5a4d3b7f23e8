// The log is what an operator reads in a terminal and what machines parse: nothing that people or agents wrote may
// break out of its line, and no line may drown the others.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import { escape, escapeJson } from "../src/LogEncoder.ts"
import * as Logs from "../src/Logs.ts"

const record = (options: Partial<Logs.Options> = {}) => {
  const lines: Array<string> = []
  const time = { now: 0 }
  const log = Logs.make({
    format: "json",
    write: (line) => lines.push(line),
    secrets: () => [],
    now: () => time.now,
    timeZone: () => "UTC",
    ...options
  })
  const run = <A>(effect: Effect.Effect<A>) => Effect.provide(effect, Logger.layer([log.logger]))
  return { lines, time, log, run }
}

const hostile = 'a\u001b[31m\u0007\n"quoted" \u202egnol\u200b \u009b1m \u2028end \u{e0041} \ud800'

describe("the encoder", () => {
  it("W4: writes out control, escape, bidirectional and zero-width characters and half surrogates", () => {
    assert.strictEqual(
      escape(hostile),
      'a\\u001b[31m\\u0007\\n"quoted" \\u202egnol\\u200b \\u009b1m \\u2028end \\u{e0041} \\ud800'
    )
  })

  it("leaves letters of any script and emoji alone", () => {
    assert.strictEqual(escape("Grüße, 你好, שלום, 🙂"), "Grüße, 你好, שלום, 🙂")
  })

  it("W4: keeps JSON parseable and equal while it writes out what a terminal would obey", () => {
    const line = escapeJson(JSON.stringify({ text: hostile }))
    assert.notMatch(line, /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u)
    assert.deepStrictEqual(JSON.parse(line), { text: hostile })
  })
})

describe("the log", () => {
  it.effect("prints one JSON object per event with its annotations", () =>
    Effect.gen(function* () {
      const { lines, run } = record()
      yield* run(Effect.logWarning("it is late").pipe(Effect.annotateLogs({ seq: 7 })))
      assert.strictEqual(lines.length, 1)
      const { annotations, level, message } = JSON.parse(lines[0] ?? "")
      assert.deepStrictEqual(
        { annotations, level, message },
        { annotations: { seq: 7 }, level: "warn", message: "it is late" }
      )
    })
  )

  it.effect("shows lists and structures to people without JSON in quotes", () =>
    Effect.gen(function* () {
      const { lines, run } = record({ format: "pretty" })
      const annotations = { changes: ["agent is new", "token has changed"], turn: { id: 7, age: 1.5 } }
      yield* run(Effect.logInfo("seen").pipe(Effect.annotateLogs(annotations)))
      assert.match(lines[0] ?? "", / seen turn\.id=7 turn\.age=1\.5\n {4}agent is new\n {4}token has changed$/)
      yield* run(Effect.logInfo("stopping").pipe(Effect.annotateLogs({ by: ["SIGINT", "SIGINT"], why: ["so it is"] })))
      assert.match(lines[1] ?? "", / stopping by="SIGINT; SIGINT" why="so it is"$/)
    })
  )

  it.effect("shows times in the zone that is in force, also after a reload has changed it", () =>
    Effect.gen(function* () {
      const zone = { name: "UTC" }
      const { lines, run } = record({ format: "pretty", timeZone: () => zone.name })
      for (const name of ["UTC", "Asia/Kolkata", "UTC"]) {
        zone.name = name
        yield* run(Effect.logInfo("seen"))
      }
      // The test's clock stands at the epoch.
      assert.deepStrictEqual(
        lines.map((line) => line.slice(0, 5)),
        ["00:00", "05:30", "00:00"]
      )
    })
  )

  it.effect("W4: a message with line feeds and escape sequences stays on one line in both formats", () =>
    Effect.gen(function* () {
      for (const format of ["json", "pretty"] as const) {
        const { lines, run } = record({ format })
        yield* run(Effect.log(hostile).pipe(Effect.annotateLogs({ [hostile]: hostile })))
        assert.strictEqual(lines.length, 1)
        assert.notMatch(lines[0] ?? "", /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u)
      }
    })
  )

  it.effect("never prints a secret, wherever it appears", () =>
    Effect.gen(function* () {
      const { lines, run } = record({ secrets: () => ["tok-3c9a"] })
      yield* run(
        Effect.logError("refused tok-3c9a", new Error("with tok-3c9a")).pipe(
          Effect.annotateLogs({ header: "Bearer tok-3c9a", token: Redacted.make("other") })
        )
      )
      assert.notInclude(lines.join(), "tok-3c9a")
      assert.notInclude(lines.join(), "other")
      assert.include(lines.join(), "<redacted>")
    })
  )

  it.effect(
    "never prints a secret that its format writes in another way, one of several lines, or a piece of a long one",
    () =>
      Effect.gen(function* () {
        const quoted = 'pa"ss\\word-1'
        const key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END KEY-----"
        const long = "very-long-secret-of-many-letters"
        for (const format of ["json", "pretty"] as const) {
          const { lines, run } = record({ format, secrets: () => [quoted, key, long] })
          yield* run(
            Effect.logWarning(`said ${quoted} and ${key}`, new Error(`with ${key}`)).pipe(
              Effect.annotateLogs({
                output: [`${key}\n`, "one more line"],
                body: { text: JSON.stringify({ password: quoted }), line: "hkiG9w0BAQEFAASC" },
                cut: `${"x".repeat(1015)}${long}`
              })
            )
          )
          yield* run(Effect.log(`${"x".repeat(16_380)}${long}`))
          for (const piece of ["word-1", "MIIE", "hkiG", "very"]) assert.notInclude(lines.join(), piece)
          if (format === "json") for (const line of lines) JSON.parse(line)
        }
      })
  )

  it.effect("fails nobody who says what can't be written, and says the rest", () =>
    Effect.gen(function* () {
      const circle: Record<string, unknown> = {}
      circle["self"] = circle
      let deep: Record<string, unknown> = {}
      for (let level = 0; level < 50_000; level++) deep = { deep }
      for (const format of ["json", "pretty"] as const) {
        const { lines, run } = record({ format, secrets: () => ["hunter2hunter2"] })
        for (const value of [circle, 7n, deep]) {
          yield* run(Effect.annotateLogs(Effect.logWarning("late", "hunter2hunter2", { value }), { value }))
        }
        assert.strictEqual(lines.length, 3, format)
        for (const line of lines) {
          assert.include(line, "late <redacted> ... (the rest of this line can't be written: ")
          assert.notInclude(line, "hunter2")
        }
      }
    })
  )

  it.effect("says what an error says, also when it is one of several parts", () =>
    Effect.gen(function* () {
      const { lines, run } = record()
      yield* run(Effect.logError("it broke", new TypeError("no such thing")))
      assert.strictEqual(JSON.parse(lines[0] ?? "").message, "it broke TypeError: no such thing")
    })
  )

  it.effect("counts equal lines after ten a minute and says how many there were", () =>
    Effect.gen(function* () {
      const { lines, run, time } = record()
      yield* run(
        Effect.forEach(Array.from({ length: 1010 }), () => Effect.logWarning("the disk is full"), { discard: true })
      )
      assert.strictEqual(lines.length, 10)
      yield* run(Effect.log("something else"))
      assert.strictEqual(lines.length, 11)
      time.now = 60_000
      yield* run(Effect.logWarning("the disk is full"))
      assert.include(lines[11], "the disk is full (1000 more times within a minute)")
      assert.strictEqual(lines.length, 13)
    })
  )

  it.effect("says at the end what it still holds back", () =>
    Effect.gen(function* () {
      const { lines, log, run } = record({ format: "pretty" })
      yield* run(Effect.forEach(Array.from({ length: 12 }), () => Effect.log("again"), { discard: true }))
      log.flush()
      assert.match(lines.at(-1) ?? "", /INFO {2}again \(2 more times within a minute\)$/)
    })
  )

  it.effect("keeps no more than a bounded number of counts", () =>
    Effect.gen(function* () {
      const { lines, run } = record()
      const flood = Effect.forEach(
        Array.from({ length: 1500 }, (_, index) => index),
        (index) => Effect.log(`line ${index}`)
      )
      yield* run(Effect.asVoid(flood))
      assert.strictEqual(lines.length, 1500)
      yield* run(Effect.forEach(Array.from({ length: 20 }), () => Effect.log("line 0"), { discard: true }))
      assert.strictEqual(lines.length, 1510)
    })
  )

  it.effect("cuts a line that is too long to be read, and says how long it was", () =>
    Effect.gen(function* () {
      const { lines, run } = record()
      yield* run(Effect.log("x".repeat(1_000_000)))
      assert.isBelow((lines[0] ?? "").length, 20_000)
      assert.include(lines[0], "(1000000 characters)")
    })
  )
})
