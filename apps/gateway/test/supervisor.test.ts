/**
 * Whoever runs this process: what it allows, what it is told, and that neither its silence nor its absence delays
 * anything. `systemctl` and `systemd-notify` are scripts here that answer, hang or fail as a test wants.
 */
import { assert, describe, it } from "@effect/vitest"
import { deadlineOf } from "@sluice/runtime/Shutdown"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Notifier from "../src/process/Notifier.ts"
import { isSupervised, type Surroundings, unitOf } from "../src/process/Supervisor.ts"
import { find, systemdSpan } from "../src/process/SupervisorBudget.ts"

/** A folder with one command in it, for PATH, and a file that the command writes to. */
const command = Effect.fnUntraced(function* (name: string, script: string) {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "sluice-command-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  )
  const log = join(folder, "log")
  writeFileSync(log, "")
  writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`)
  chmodSync(join(folder, name), 0o755)
  return { log, environment: { PATH: `${folder}:/usr/bin:/bin`, LOG: log } }
})

const nowhere: Surroundings = { environment: {}, pid: 4711, terminal: false, cgroup: "0::/", container: false }
const service = "0::/system.slice/sluice.service\n"

const inUnit = (environment: Surroundings["environment"]): Surroundings => ({
  ...nowhere,
  cgroup: service,
  environment: { INVOCATION_ID: "x", ...environment }
})

describe("the supervisor", () => {
  it("is systemd only when the process runs in a unit of its own", () => {
    const units: ReadonlyArray<readonly [string, ReturnType<typeof unitOf>]> = [
      [service, { name: "sluice.service", user: false }],
      [
        "0::/user.slice/user-1000.slice/user@1000.service/app.slice/sluice.service",
        { name: "sluice.service", user: true }
      ],
      [
        "12:pids:/x\n1:name=systemd:/system.slice/sluice.service\n0::/init.scope",
        { name: "sluice.service", user: false }
      ],
      // A terminal inherits the variables of the session that it was started in.
      ["0::/user.slice/user-1000.slice/user@1000.service/app.slice/vte-spawn-1.scope", undefined],
      ["0::/user.slice/user-1000.slice/session-3.scope", undefined],
      ["0::/user.slice/user-1000.slice/user@1000.service", undefined],
      ["0::/", undefined],
      ["", undefined]
    ]
    for (const [cgroup, unit] of units) {
      assert.deepStrictEqual(unitOf({ ...inUnit({}), cgroup }), unit, cgroup)
      assert.strictEqual(isSupervised({ ...inUnit({}), cgroup }), unit !== undefined)
    }
    assert.isUndefined(unitOf({ ...nowhere, cgroup: service }))
    assert.isTrue(isSupervised({ ...nowhere, environment: { SLUICE_SUPERVISED: "1" } }))
    assert.isFalse(isSupervised({ ...nowhere, environment: { SLUICE_SUPERVISED: "0" } }))
  })

  it("time spans are read as systemd prints them", () => {
    const spans: ReadonlyArray<readonly [string, number | undefined]> = [
      ["1min 30s", 90_000],
      ["90s", 90_000],
      ["500ms", 500],
      ["2h 5min 1s 20ms", 7_501_020],
      ["1month", 2_629_800_000],
      ["infinity", Infinity],
      ["", undefined],
      ["90", undefined],
      ["soon", undefined],
      ["5parsecs", undefined]
    ]
    for (const [text, millis] of spans) assert.strictEqual(systemdSpan(`${text}\n`), millis, text)
  })

  it.prop("time spans: whatever text comes, it is a number of milliseconds or nothing", [Schema.String], ([text]) => {
    const millis = systemdSpan(text)
    assert.isTrue(millis === undefined || millis >= 0)
  })

  it.live("S14: the budget is the unit's TimeoutStopSec, and the deadline follows it", () =>
    Effect.gen(function* () {
      const { environment, log } = yield* command("systemctl", `echo "$@" > "$LOG"; echo "20s"`)
      const budget = yield* find(inUnit(environment))
      assert.deepStrictEqual(budget, { limit: 20_000, source: "TimeoutStopSec of sluice.service" })
      assert.strictEqual(readFileSync(log, "utf8"), "show sluice.service --property=TimeoutStopUSec --value\n")
      if (budget === undefined) return
      assert.deepStrictEqual(deadlineOf({ budget }), {
        millis: 17_000,
        tail: 3000,
        source: "TimeoutStopSec of sluice.service: 20 s, of which 3 s are kept in reserve"
      })
    })
  )

  it.live(
    "S14: a unit without a limit has no budget, one that nobody knows has systemd's default, also when systemctl hangs",
    () =>
      Effect.gen(function* () {
        const infinite = yield* command("systemctl", "echo infinity")
        assert.isUndefined(yield* find(inUnit(infinite.environment)))
        for (const script of ["exit 1", "echo nonsense", "sleep 60"]) {
          const { environment } = yield* command("systemctl", script)
          assert.strictEqual((yield* find(inUnit(environment)))?.limit, 90_000)
        }
      })
  )

  it.effect("S14: what is said wins over everything, and what can't be read is a configuration error", () =>
    Effect.gen(function* () {
      const says = (text: string) => find({ ...nowhere, pid: 1, environment: { SLUICE_STOP_BUDGET: text } })
      assert.deepStrictEqual(yield* says("25s"), { limit: 25_000, source: "SLUICE_STOP_BUDGET" })
      assert.deepStrictEqual(yield* says("2 minutes"), { limit: 120_000, source: "SLUICE_STOP_BUDGET" })
      assert.isUndefined(yield* says("none"))
      for (const text of ["25", "soon", "-3s", "0s"]) {
        const error = yield* Effect.flip(says(text))
        assert.match(
          error.message,
          /^SLUICE_STOP_BUDGET = "[^"]*": use a duration with a unit, such as "25s", or "none"$/
        )
      }
    })
  )

  it.effect(
    "S14: 10 s are assumed, and said, as the first process or in a container; none on a terminal or alone",
    () =>
      Effect.gen(function* () {
        const first = yield* find({ ...nowhere, pid: 1, terminal: true })
        assert.strictEqual(first?.limit, 10_000)
        assert.match(first?.source ?? "", /^assumed .*SLUICE_STOP_BUDGET is not set$/)
        assert.strictEqual((yield* find({ ...nowhere, container: true }))?.limit, 10_000)
        assert.isUndefined(yield* find({ ...nowhere, container: true, terminal: true }))
        assert.isUndefined(yield* find({ ...nowhere, terminal: true }))
        assert.isUndefined(yield* find(nowhere))
      })
  )
})

/** Waits until a file has this many lines; looked at again and again, for not every file system tells of changes. */
const lines = (file: string, count: number): Effect.Effect<ReadonlyArray<string>> =>
  Effect.callback<ReadonlyArray<string>>((resume) => {
    const look = () => {
      const found = readFileSync(file, "utf8")
        .split("\n")
        .filter((line) => line !== "")
      if (found.length < count) return
      clearInterval(again)
      resume(Effect.succeed(found))
    }
    const again = setInterval(look, 5)
    look()
    return Effect.sync(() => clearInterval(again))
  })

describe("the service manager", () => {
  it.live("hears of ready, reloading and stopping in that order, one line each", () =>
    Effect.gen(function* () {
      // The first one is the slowest: order must not depend on speed.
      const { environment, log } = yield* command(
        "systemd-notify",
        `case "$1" in READY*) sleep 0.2;; esac; echo "$@" >> "$LOG"`
      )
      const manager = yield* Notifier.make({ ...environment, NOTIFY_SOCKET: "/run/systemd/notify" })
      manager.ready("http://127.0.0.1:4747\nand more")
      manager.reloading()
      manager.ready("again")
      manager.stopping("SIGTERM")
      const [first, second, third, fourth] = yield* lines(log, 4)
      assert.strictEqual(first, "READY=1 STATUS=http://127.0.0.1:4747 and more")
      assert.match(second ?? "", /^RELOADING=1 MONOTONIC_USEC=\d+$/)
      assert.strictEqual(third, "READY=1 STATUS=again")
      assert.strictEqual(fourth, "STOPPING=1 STATUS=SIGTERM")
    })
  )

  it.live("hears a heartbeat twice as often as it asks for", () =>
    Effect.gen(function* () {
      const { environment, log } = yield* command("systemd-notify", `echo "$@" >> "$LOG"`)
      const asking = { ...environment, NOTIFY_SOCKET: "x", WATCHDOG_USEC: "100000", WATCHDOG_PID: String(process.pid) }
      yield* Notifier.make(asking)
      assert.deepStrictEqual(yield* lines(log, 2), ["WATCHDOG=1", "WATCHDOG=1"])
    })
  )

  it("the heartbeat is for the process that was asked for it", () => {
    const { watchdogInterval } = Notifier
    assert.strictEqual(watchdogInterval({ WATCHDOG_USEC: "30000000" }, 5), 30_000)
    assert.strictEqual(watchdogInterval({ WATCHDOG_USEC: "30000000", WATCHDOG_PID: "5" }, 5), 30_000)
    assert.isUndefined(watchdogInterval({ WATCHDOG_USEC: "30000000", WATCHDOG_PID: "6" }, 5))
    assert.isUndefined(watchdogInterval({ WATCHDOG_USEC: "0" }, 5))
    assert.isUndefined(watchdogInterval({ WATCHDOG_USEC: "soon" }, 5))
    assert.isUndefined(watchdogInterval({}, 5))
  })

  it.live("C9: one that hangs, fails or is missing delays nothing, and its scope's end leaves no child", () =>
    Effect.gen(function* () {
      const hanging = yield* command("systemd-notify", `echo $$ >> "$LOG"; exec sleep 600`)
      const failing = yield* command("systemd-notify", "exit 1")
      for (const environment of [hanging.environment, failing.environment, { PATH: "/nowhere" }]) {
        const scope = yield* Scope.make()
        const manager = yield* Scope.provide(Notifier.make({ ...environment, NOTIFY_SOCKET: "x" }), scope)
        for (let n = 0; n < 100; n++) manager.ready("x")
        manager.stopping("x")
        const [pid] = environment === hanging.environment ? yield* lines(hanging.log, 1) : []
        yield* Scope.close(scope, Exit.void)
        if (pid !== undefined) {
          yield* Effect.callback<void>((resume) => {
            // Node reaps it in its own time; the kernel says when it is gone.
            const look = () => {
              try {
                process.kill(Number(pid), 0)
                setImmediate(look)
              } catch {
                resume(Effect.void)
              }
            }
            look()
          })
        }
      }
    })
  )

  it.effect("without a socket in the environment nothing is started", () =>
    Effect.gen(function* () {
      const { environment, log } = yield* command("systemd-notify", `echo "$@" >> "$LOG"`)
      const manager = yield* Notifier.make(environment)
      manager.ready("x")
      manager.reloading()
      manager.stopping("x")
      assert.strictEqual(readFileSync(log, "utf8"), "")
    })
  )
})
