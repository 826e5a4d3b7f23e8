/**
 * Signals sent to real processes: what is recorded before a program is loaded, what counts once, and what each asks for.
 */
import { assert, describe, it } from "@effect/vitest"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { onTestFinished } from "vitest"
import { twins } from "../src/process/SignalRecorder.ts"
import { canScript, now, type Program, start, startNode } from "./program.ts"

const url = new URL("./programs/signalled.ts", import.meta.url)

/** A program that records; it is not loaded yet. */
const recording = async (what = "obey"): Promise<Program> => {
  const program = startNode(url, [what])
  await program.says("recording")
  return program
}

const loaded = async (what = "obey"): Promise<Program> => {
  const program = await recording(what)
  program.tell("load")
  await program.says("loaded")
  return program
}

/** What counts as one signal is decided by time, so here time passes. */
const pause = (millis: number) => new Promise<void>((resolve) => setTimeout(resolve, millis))
const apart = twins + 60

/** Signals until it ends, and says how many: on a busy machine one that is taken late counts with the next. */
const insist = async ({ child }: Program, name: NodeJS.Signals): Promise<number> => {
  let sent = 0
  for (; child.exitCode === null && child.signalCode === null; sent++) {
    child.kill(name)
    await pause(apart)
  }
  return sent
}

const lines = (program: Program) => program.out().trim().split("\n")

describe("signals", () => {
  it("S7: the first stops, the second hurries, the third ends the process now", async () => {
    const program = await loaded()
    program.signal("SIGTERM")
    await program.says("stop by SIGTERM\n")
    await pause(apart)
    program.signal("SIGINT")
    await program.says("stop by SIGINT, hurry")
    await pause(apart)
    program.signal("SIGINT")
    const { code } = await program.ended
    assert.strictEqual(code, 81)
    assert.include(program.out(), "now by SIGINT")
  })

  it("one Ctrl-C that arrives twice counts once", async () => {
    const program = await loaded()
    program.signal("SIGINT")
    await pause(2)
    program.signal("SIGINT")
    program.signal("SIGTERM")
    await program.says("stop by SIGINT")
    // Handed over in order: what comes after the twins shows that nothing else came of them.
    program.signal("SIGQUIT")
    await program.says("dump")
    assert.deepStrictEqual(
      lines(program).filter((line) => line.startsWith("stop by")),
      ["stop by SIGINT"]
    )
  })

  it("S8: a SIGTERM before the program is loaded is handed over when it is, and nothing is begun", async () => {
    const program = await recording("once")
    program.signal("SIGTERM")
    await program.says("took SIGTERM")
    program.tell("load")
    const { code } = await program.ended
    assert.strictEqual(code, 0)
    assert.include(program.out(), "loaded, 1 stops")
    assert.include(program.out(), "stop by SIGTERM")
  })

  it("S7: a program that hangs while it loads ends at the third signal", async () => {
    const program = await recording()
    assert.isAtLeast(await insist(program, "SIGINT"), 3)
    assert.strictEqual((await program.ended).code, 81)
  })

  it("S9: SIGUSR1 and SIGUSR2 restart, and open no debugger", async () => {
    const program = await loaded()
    program.signal("SIGUSR1")
    await program.says("restart by SIGUSR1")
    program.signal("SIGUSR2")
    await program.says("restart by SIGUSR2")
    assert.notInclude(program.err(), "Debugger")
  })

  it("SIGHUP without a terminal reloads, and a reload that takes its time keeps nothing waiting", async () => {
    const program = await loaded()
    program.signal("SIGHUP")
    await program.says("reload")
    program.signal("SIGTERM")
    await program.says("stop by SIGTERM")
  })

  it("SIGQUIT dumps and goes on", async () => {
    const program = await loaded()
    program.signal("SIGQUIT")
    await program.says("dump")
    assert.strictEqual(program.child.exitCode, null)
  })

  it("a terminal that is closed stops the program, which hears of it twice and writes into nothing", async (context) => {
    if (!canScript) context.skip("there is no script(1) here that makes a terminal")
    const folder = mkdtempSync(join(tmpdir(), "sluice-terminal-"))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const log = join(folder, "log")
    const command = `'${process.execPath}' '${fileURLToPath(url)}' once > '${log}' 2>&1 < /dev/stdin`
    // `script` gives the program a terminal of its own, and takes it away when it dies.
    const terminal = start("script", ["-qfec", command, join(folder, "typescript")], { env: { SHELL: "/bin/sh" } })
    const logged = (text: string) =>
      new Promise<void>((resolve) => {
        const look = () => (readLog(log).includes(text) ? resolve() : setTimeout(look, 20))
        look()
      })
    await logged("recording")
    terminal.tell("load")
    await logged("loaded")
    terminal.signal("SIGKILL")
    await logged("stop by SIGHUP, the terminal was closed")
    assert.strictEqual(readLog(log).match(/stop by/g)?.length, 1)
  })

  it("a reader of standard output that goes away does not end the program", async () => {
    const program = await recording("chatter")
    program.tell("load")
    await program.says("loaded")
    program.child.stdout?.destroy()
    const closed = program.child.stderr === null ? undefined : once(program.child.stderr, "close")
    // Many failing writes later it still takes a signal.
    await pause(100)
    await insist(program, "SIGTERM")
    assert.strictEqual((await program.ended).code, 81)
    await closed
    assert.strictEqual(program.err(), "")
  })

  it("a released program is ended by signals as any other, also by one that came before", async () => {
    const later = await loadedReleased()
    later.signal("SIGTERM")
    assert.strictEqual((await later.ended).signal, "SIGTERM")
    const before = await recording("release")
    before.signal("SIGINT")
    before.tell("release")
    assert.strictEqual((await before.ended).signal, "SIGINT")
  })

  it("a signal's time is that of its arrival, not of its handling", async () => {
    // The deadline counts from here: what loading takes is not given to the stop on top.
    const program = await recording("once")
    const sent = now()
    program.signal("SIGTERM")
    await program.says("took SIGTERM")
    const taken = now()
    await pause(50)
    program.tell("load")
    await program.ended
    // It is said in whole milliseconds.
    const at = Number(/stop at (\d+)/.exec(program.out())?.[1])
    assert.isAtLeast(at, Math.floor(sent))
    assert.isAtMost(at, Math.ceil(taken))
  })
})

const loadedReleased = async (): Promise<Program> => {
  const program = await recording("release")
  program.tell("release")
  await program.says("released")
  return program
}

const readLog = (path: string): string => {
  try {
    return readFileSync(path, "utf8")
  } catch {
    // Not there yet.
    return ""
  }
}
