// The room that programs run in: what they are given, and that no trick keeps one alive beyond its scope.
import { assert, describe, it } from "@effect/vitest"
import * as Agent from "@sluice/runtime/Agent"
import { sessionOf } from "@sluice/runtime/testing/agentConformance"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import { existsSync, readFileSync } from "node:fs"
import { getPriority } from "node:os"
import * as Children from "../src/Children.ts"
import { fit } from "../src/internal/ladder.ts"
import { endLater, lives, node, programs, unique } from "./processes.ts"

const quick = { ask: "50 millis", term: "150 millis", kill: "2 seconds" } as const

const outputOf = Effect.fnUntraced(function* (child: Children.Child) {
  const utf8 = new TextDecoder()
  let text = ""
  while (true) {
    const piece = yield* child.read
    if (piece._tag === "End") return text
    if (piece._tag === "Bytes") text += utf8.decode(piece.bytes, { stream: true })
  }
})

const lineOf = Effect.fnUntraced(function* (child: Children.Child) {
  let text = ""
  while (!text.includes("\n")) {
    const piece = yield* child.read
    if (piece._tag === "End") break
    if (piece._tag === "Bytes") text += new TextDecoder().decode(piece.bytes)
  }
  return text.split("\n", 1)[0] ?? ""
})

const elapsed = Effect.fnUntraced(function* <A, E, R>(effect: Effect.Effect<A, E, R>) {
  const clock = yield* Clock.Clock
  const began = clock.monotonicTimeNanosUnsafe()
  yield* effect
  return Number(clock.monotonicTimeNanosUnsafe() - began) / 1e6
})

/** A room whose session ends when the returned scope closes. */
const roomOf = Effect.fnUntraced(function* (name: string, grace: Partial<Children.Grace> = quick) {
  const instance = unique(name)
  const killed: Array<{ readonly pid: number; readonly signal: string }> = []
  const room = yield* Children.room(sessionOf({ instance, killed }), { grace })
  const scope = yield* Scope.make()
  const start = (program: Children.Program) => Effect.provideService(room.start(program), Scope.Scope, scope)
  return { instance, killed, start, close: Scope.close(scope, Exit.void) }
})

/** The priority of a process's session; `undefined` where the system weighs none: its file is empty then, or missing. */
const sessionPriority = (pid: number | "self"): number | undefined => {
  if (!existsSync(`/proc/${pid}/autogroup`)) return undefined
  const nice = / nice (-?\d+)/.exec(readFileSync(`/proc/${pid}/autogroup`, "latin1"))?.[1]
  return nice === undefined ? undefined : Number(nice)
}

/** What it becomes: without privileges the system takes one change in 100 ms. A new session starts at 0. */
const settled = (pid: number) =>
  Effect.sync(() => sessionPriority(pid)).pipe(
    Effect.repeat({ until: (nice) => nice !== 0, schedule: Schedule.spaced("10 millis") }),
    Effect.timeout("10 seconds")
  )

describe("what a program is given", () => {
  it.live("an environment of the allow-list, the configured names and its marker, and nothing else", () =>
    Effect.scoped(
      Effect.gen(function* () {
        process.env["SLUICE_TOKEN"] = "secret"
        process.env["SLUICE_TEST_PASSED"] = "passed"
        process.env["SLUICE_TEST_KEPT"] = "kept"
        const { instance, start } = yield* roomOf("environment")
        const child = yield* start({
          argv: [node, "-e", "console.log(JSON.stringify(process.env))"],
          turn: "turn/1",
          env: { pass: ["SLUICE_TEST_PASSED", "SLUICE_TOKEN"], set: { FIXED: "1", KEY: Redacted.make("hidden") } }
        })
        const given = JSON.parse(yield* outputOf(child)) as Record<string, string>
        const { FIXED, KEY, SLUICE_MARKER, SLUICE_TEST_PASSED, ...rest } = given
        assert.deepStrictEqual(
          [FIXED, KEY, SLUICE_MARKER, SLUICE_TEST_PASSED],
          ["1", "hidden", `${instance}/1/1/turn%2F1`, "passed"]
        )
        assert.deepStrictEqual(
          Object.keys(rest).filter((name) => !Children.allowed.includes(name)),
          []
        )
        assert.strictEqual(rest["PATH"], process.env["PATH"])
      }).pipe(
        Effect.ensuring(
          Effect.sync(() => {
            for (const name of ["SLUICE_TOKEN", "SLUICE_TEST_PASSED", "SLUICE_TEST_KEPT"]) delete process.env[name]
          })
        )
      )
    )
  )

  it("a marker that reads back as what was written, whatever the names hold", () => {
    for (const marker of [
      { instance: "a/b c%", epoch: 3, session: 12, turn: "t/1 ü" },
      { instance: "x", epoch: 1, session: 1 }
    ]) {
      assert.deepStrictEqual(Agent.parseMarker(Agent.formatMarker(marker)), marker)
    }
    for (const text of ["", "a", "a/b/c/d", "a/1/2", "a/1/2/%", "a/-1/2/t"]) assert.isUndefined(Agent.parseMarker(text))
  })

  it.live("a priority below the gateway's, so that its work after an answer does not hold the answer up", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { close, start } = yield* roomOf("priority")
        const say = "process.stdin.once('data', () => console.log(require('node:os').getPriority()))"
        const priorityOf = Effect.fnUntraced(function* (nice?: number) {
          const child = yield* start({ argv: [node, "-e", say], ...(nice === undefined ? {} : { nice }) })
          yield* child.send("now\n")
          const priority = Number(yield* lineOf(child)) - getPriority()
          return { priority, session: nice === 0 ? undefined : yield* settled(child.pid) }
        })
        const [usual, equal, lower] = [yield* priorityOf(), yield* priorityOf(0), yield* priorityOf(9)]
        // There is nothing below 19.
        const below = (nice: number) => Math.min(nice, 19 - getPriority())
        assert.deepStrictEqual([usual.priority, equal.priority, lower.priority], [below(5), 0, below(9)])
        // Where the system weighs sessions against each other, that is what counts.
        const own = sessionPriority("self") ?? getPriority()
        if (usual.session !== undefined)
          assert.deepStrictEqual([usual.session, lower.session], [Math.min(19, own + 5), Math.min(19, own + 9)])
        yield* close
      })
    )
  )

  it.live("a session and process group of its own", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { start } = yield* roomOf("group")
        const child = yield* start({ argv: ["/bin/sh", "-c", "cut -d' ' -f5,6 /proc/$$/stat"] })
        assert.strictEqual((yield* outputOf(child)).trim(), `${child.pid} ${child.pid}`)
      })
    )
  )
})

describe("the stop ladder", () => {
  it.live("asks first, and sends no signal to a program that ends when asked", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { start, close, killed } = yield* roomOf("ask", { ask: "10 seconds" })
        const child = yield* start({
          argv: ["/bin/sh", "-c", "trap 'exit 9' TERM; echo ready; cat; exit 4"],
          ask: (child) => child.endInput
        })
        yield* lineOf(child)
        yield* close
        assert.deepStrictEqual(yield* child.exited, { code: 4, signal: undefined })
        assert.deepStrictEqual(killed, [])
      })
    )
  )

  it.live("gives a program that handles SIGTERM the time to end in its own way", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { start, close, killed } = yield* roomOf("term", { term: "10 seconds" })
        const child = yield* start({
          argv: ["/bin/sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do read x; done"]
        })
        yield* lineOf(child)
        yield* close
        assert.strictEqual((yield* child.exited).code, 5)
        assert.deepStrictEqual(killed, [])
      })
    )
  )

  it.live(
    "S11: ignores SIGTERM, floods, has stopped and scattered descendants: all gone in bound, all recorded as killed",
    () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { instance, start, close, killed } = yield* roomOf("hydra")
          const child = yield* start({ argv: [node, `${programs}/hydra.mjs`] })
          const pids = (yield* lineOf(child)).split(" ").map(Number)
          yield* Effect.forEach(pids, endLater)
          assert.strictEqual(pids.length, 6)
          assert.deepStrictEqual(
            pids.filter((pid) => !lives(pid)),
            []
          )
          const took = yield* elapsed(close)
          assert.deepStrictEqual(pids.filter(lives), [])
          assert.deepStrictEqual(yield* Children.running(instance), [])
          // The steps of the ladder, and what the machine needs for six processes.
          assert.isBelow(took, 10_000)
          for (const pid of pids) assert.deepInclude(killed, { pid, signal: "SIGKILL" })
          assert.strictEqual((yield* child.exited).signal, "SIGKILL")
        })
      )
  )

  it.live("S11: a stopped program goes on for its SIGTERM and ends without being killed", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { start, close, killed } = yield* roomOf("stopped", { term: "10 seconds" })
        const child = yield* start({ argv: ["/bin/sh", "-c", "trap 'exit 6' TERM; echo ready; read x"] })
        yield* lineOf(child)
        process.kill(child.pid, "SIGSTOP")
        yield* close
        assert.strictEqual((yield* child.exited).code, 6)
        assert.deepStrictEqual(killed, [])
      })
    )
  )

  it.live("S11: with no time left at all it goes straight to SIGKILL", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { start, close, killed } = yield* roomOf("late", { ask: "60 seconds", term: "60 seconds" })
        const child = yield* start({ argv: ["/bin/sh", "-c", 'trap "" TERM; echo ready; exec sleep 300'] })
        yield* lineOf(child)
        const took = yield* elapsed(close)
        assert.deepStrictEqual(killed, [{ pid: child.pid, signal: "SIGKILL" }])
        assert.isBelow(took, 30_000)
      })
    ).pipe(Effect.provideService(Agent.StopBudget, Effect.succeed(0)))
  )

  it.live("S11: a stop that begins while a child is let go of shortens what it is waited for", () => {
    let asked = 0
    // Time without end when the ladder begins, a fifth of a second from then on.
    const budget = Effect.sync(() => (asked++ === 0 ? Infinity : 200))
    return Effect.scoped(
      Effect.gen(function* () {
        const { start, close, killed } = yield* roomOf("hurried", { ask: 0, term: "60 seconds", kill: "500 millis" })
        const child = yield* start({ argv: ["/bin/sh", "-c", 'trap "" TERM; echo ready; exec sleep 300'] })
        yield* lineOf(child)
        const took = yield* elapsed(close)
        assert.deepStrictEqual(killed, [{ pid: child.pid, signal: "SIGKILL" }])
        assert.isBelow(took, 30_000)
      })
    ).pipe(Effect.provideService(Agent.StopBudget, budget))
  })

  it("fits its waits into what is left, and always leaves time to see the last signal work", () => {
    const grace = Children.defaultGrace
    assert.deepStrictEqual(fit(grace, Infinity), { ask: 500, term: 2000, kill: 500 })
    assert.deepStrictEqual(fit(grace, 3000), { ask: 500, term: 2000, kill: 500 })
    for (const left of [2999, 1000, 100, 1, 0, -5]) {
      const { ask, term, kill } = fit(grace, left)
      assert.isAtMost(ask + term + kill, Math.max(100, left))
      assert.isAtLeast(Math.min(ask, term), 0)
      assert.isAtLeast(kill, 100)
    }
    assert.strictEqual(fit({ ...grace, kill: 0 }, 10).kill, 0)
  })

  it.live("a daemon that a finished program left behind ends with its scope", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { start, close, killed } = yield* roomOf("daemon")
        const child = yield* start({
          argv: ["/bin/sh", "-c", "setsid sh -c 'echo $$; exec sleep 300 >/dev/null 2>&1' & wait $!; exit 0"]
        })
        const daemon = Number(yield* lineOf(child))
        assert.isTrue(lives(daemon))
        // In the middle of an exec the kernel shows no environment, and so no marker.
        yield* Effect.repeat(
          Effect.sync(() => readFileSync(`/proc/${daemon}/comm`, "utf8").trim()),
          { schedule: Schedule.spaced("5 millis"), until: (name) => name === "sleep" }
        )
        process.kill(child.pid, "SIGKILL")
        yield* child.exited
        assert.isTrue(lives(daemon))
        yield* close
        assert.isFalse(lives(daemon))
        assert.deepStrictEqual(killed, [])
      })
    )
  )

  it.live("a child without marker and parent that a finished program left in its group ends with its scope", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { start, close } = yield* roomOf("wiped")
        const child = yield* start({ argv: ["/bin/sh", "-c", "env -i sleep 300 >/dev/null 2>&1 & echo $!"] })
        const left = Number(yield* lineOf(child))
        yield* endLater(left)
        yield* child.exited
        assert.isTrue(lives(left))
        yield* close
        assert.isFalse(lives(left))
      })
    )
  )
})
