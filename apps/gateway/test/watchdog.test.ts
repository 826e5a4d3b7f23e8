/**
 * The watchdog against real processes that are really blocked, stopped and continued, and its verdict for every sequence
 * of ticks. Nothing of the gateway runs here: a watchdog that needs it would not be one.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { execFileSync } from "node:child_process"
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, existsSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { onTestFinished } from "vitest"
import { grace, patienceOf, tick, Watch } from "../src/watchdog/verdict.ts"
import { now, type Program, startNode } from "./program.ts"

/** Milliseconds: without its watchdog none of these programs would ever end, on a busy machine they end later. */
const late = 20_000

const program = new URL("./programs/watched.ts", import.meta.url)

const start = async (what: string, options: { readonly patience?: number } = {}) => {
  const folder = mkdtempSync(join(tmpdir(), "sluice-watchdog-"))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const file = join(folder, "last-shutdown.json")
  const child = startNode(program, [what, file, String(options.patience ?? 1500)])
  await child.says("ready")
  return { child, file }
}

const note = (file: string): Record<string, unknown> => {
  const found: unknown = JSON.parse(readFileSync(file, "utf8"))
  assert.isObject(found)
  return found as Record<string, unknown>
}

const killed = async (child: Program) => {
  const ended = await child.ended
  assert.strictEqual(ended.signal, "SIGKILL")
  return ended.at
}

describe("the watchdog", () => {
  it("S12: ends a process whose main loop is blocked in a stop at its deadline and 1 s more, with a line that says why", async () => {
    const { child, file } = await start("block in a stop")
    const began = now()
    child.tell("go")
    const at = await killed(child)
    // Deadline 300 ms after the start of the stop.
    assert.isAtLeast(at - began, 1300)
    assert.isAtMost(at - began, late)
    assert.match(
      child.err(),
      /^sluice: ended by its watchdog: the stop did not end by its deadline and 1 s more \(phase: drain, 2 turns open\); the main loop has not turned for \d+\.\d s\n$/
    )
    const { blocked, epoch, line, openTurns, phase, watchdog } = note(file)
    assert.deepStrictEqual(
      { epoch, openTurns, phase, watchdog },
      { epoch: 7, openTurns: 2, phase: "drain", watchdog: "overdue" }
    )
    assert.strictEqual(`${String(line)}\n`, child.err())
    assert.isNumber(blocked)
    assert.strictEqual(statSync(file).mode & 0o777, 0o600)
  })

  it("S12: ends a stop that hangs although its main loop turns, and says so", async () => {
    const { child } = await start("hang in a stop")
    const began = now()
    child.tell("go")
    assert.isAtMost((await killed(child)) - began, late)
    assert.match(child.err(), /the main loop turns\n$/)
  })

  it("S12: ends a process that is blocked without a stop once its patience is over", async () => {
    const { child, file } = await start("block", { patience: 1500 })
    const began = now()
    child.tell("go")
    const at = await killed(child)
    assert.isAtLeast(at - began, 1500 - tick)
    assert.isAtMost(at - began, late)
    assert.match(child.err(), /the main loop has not turned for \d+\.\d s; a stop could not be heard/)
    assert.strictEqual(note(file)["watchdog"], "blocked")
  })

  it("C9: ends a process that is blocked in a write, with a standard error that nobody reads, and leaves the note", async () => {
    const folder = mkdtempSync(join(tmpdir(), "sluice-pipe-"))
    const [pipe, file] = [join(folder, "stderr"), join(folder, "last-shutdown.json")]
    execFileSync("mkfifo", [pipe, `${file}.pipe`])
    const stderr = openSync(pipe, "r+")
    onTestFinished(() => {
      closeSync(stderr)
      rmSync(folder, { recursive: true })
    })
    const child = startNode(program, ["full pipes", file, "1000"], { stderr })
    await child.says("ready")
    child.tell("go")
    await killed(child)
    assert.strictEqual(note(file)["watchdog"], "blocked")
  })

  it("C9: a note that can't be written saves nobody", async () => {
    const child = startNode(program, ["block", "/nowhere/at/all/last-shutdown.json", "1000"])
    await child.says("ready")
    child.tell("go")
    await killed(child)
    assert.match(child.err(), /ended by its watchdog/)
  })

  it("S12: a process that was stopped (SIGSTOP) for longer than its patience and continued lives on", async () => {
    const { child, file } = await start("live", { patience: 1000 })
    child.signal("SIGSTOP")
    // The pause itself is what is tested: nothing in the child can tell when it has lasted long enough.
    await new Promise((resolve) => setTimeout(resolve, 3000))
    child.signal("SIGCONT")
    child.tell("go")
    await child.says("alive")
    // A full patience later it still does.
    await new Promise((resolve) => setTimeout(resolve, 1500))
    assert.strictEqual(child.child.exitCode, null)
    assert.isFalse(existsSync(file))
  })

  it("S12: a stop that was paused beyond its deadline still ends by itself", async () => {
    const { child, file } = await start("stop and live")
    child.tell("go")
    await child.says("stopping")
    child.signal("SIGSTOP")
    await new Promise((resolve) => setTimeout(resolve, 3000))
    child.signal("SIGCONT")
    const { code, signal } = await child.ended
    assert.deepStrictEqual({ code, signal }, { code: 0, signal: null })
    assert.isFalse(existsSync(file))
  })

  it("keeps no process alive that has nothing left to do", async () => {
    const { child } = await start("end")
    const began = now()
    child.tell("go")
    const { at, code } = await child.ended
    assert.strictEqual(code, 0)
    assert.isBelow(at - began, late)
  })
})

describe("the verdict", () => {
  it("patience is a stop's timeout and 2 s, at least 30 s", () => {
    assert.deepStrictEqual(
      [0, 10_000, 28_000, 30_000, 60_000].map(patienceOf),
      [30_000, 30_000, 30_000, 32_000, 62_000]
    )
  })

  const gap = Schema.Finite.check(Schema.isBetween({ minimum: 1, maximum: 600_000 }))

  it.prop(
    "S12: a loop that beats between any two ticks is never blocked, however long the ticks take",
    [Schema.Array(gap)],
    ([gaps]) => {
      const watch = new Watch(30_000, { now: 0, beats: 0, deadline: 0 })
      let now = 0
      for (const [index, each] of gaps.entries()) {
        now += each
        assert.isUndefined(watch.look({ now, beats: index + 1, deadline: 0 }))
      }
    }
  )

  it.prop(
    "S12: a loop without a beat is blocked after its patience of seen time, pauses left out",
    [Schema.Array(gap)],
    ([gaps]) => {
      const watch = new Watch(30_000, { now: 0, beats: 0, deadline: 0 })
      let now = 0
      let seen = 0
      for (const each of gaps) {
        now += each
        // A gap of more than a second beyond the tick is a pause: only the tick in it was seen.
        seen += each - tick > 1000 ? tick : each
        const verdict = watch.look({ now, beats: 0, deadline: 0 })
        assert.strictEqual(verdict !== undefined, seen >= 30_000)
        if (verdict !== undefined) return
      }
    }
  )

  it("S12: a stop that was overdue before the first look has 1 s from there", () => {
    const watch = new Watch(30_000, { now: 5000, beats: 1, deadline: 2000 })
    assert.isUndefined(watch.look({ now: 5006, beats: 2, deadline: 2000 }))
    assert.isUndefined(watch.look({ now: 5506, beats: 3, deadline: 2000 }))
    assert.deepStrictEqual(watch.look({ now: 6000, beats: 4, deadline: 2000 }), { why: "overdue", blocked: 0 })
  })

  it("S12: in a stop the deadline and 1 s decide, at the millisecond", () => {
    const watch = new Watch(30_000, { now: 0, beats: 0, deadline: 0 })
    const stop = (now: number) => ({ now, beats: 1, deadline: 5000 })
    assert.isUndefined(watch.look(stop(100)))
    assert.strictEqual(watch.next(stop(100)), tick)
    for (let now = 600; now < 6000; now += 500) assert.isUndefined(watch.look(stop(now)))
    assert.strictEqual(watch.next(stop(5900)), 100)
    assert.deepStrictEqual(watch.look({ now: 5000 + grace, beats: 2, deadline: 5000 }), { why: "overdue", blocked: 0 })
  })
})
