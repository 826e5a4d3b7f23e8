// The examples of docs/operations.md as far as they can be run here: numbers that must agree with each other and with the
// program, variables that it knows, the files that a container gets, and a backup of a gateway that is at work, restored.
import { assert, describe, it } from "@effect/vitest"
import { deadlineOf } from "@sluice/runtime/Shutdown"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { execFileSync } from "node:child_process"
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseAllDocuments } from "yaml"
import { load } from "../src/configuration/Sources.ts"
import { codes } from "../src/process/Exit.ts"
import { program, start, temporaryFolder, tool } from "./harness.ts"

const examples = fileURLToPath(new URL("../../../docs/examples/", import.meta.url))
const text = (name: string): string => readFileSync(join(examples, name), "utf8")
const unit = text("sluice.service")

/** The value of a key of the unit. */
const setting = (key: string): string => new RegExp(`^${key}=(.*)$`, "m").exec(unit)?.[1] ?? ""
const numbers = (key: string): ReadonlyArray<number> => setting(key).split(" ").map(Number)

const millis = (text: string): number =>
  Duration.toMillis(
    Duration.fromInputUnsafe(`${Number.parseInt(text, 10)} ${text.endsWith("min") ? "minutes" : "seconds"}`)
  )

/** What is left for a stop when a supervisor waits that long. */
const left = (budget: string): number =>
  deadlineOf({ timeout: "30 seconds", budget: { limit: millis(budget), source: "the example" } }).millis

/** Every variable of the program that the examples set, with a value. */
const variables = Object.fromEntries(
  readdirSync(examples).flatMap((name) =>
    [...text(name).matchAll(/\b(SLUICE_[A-Z_]+)(?:=|: |, value: )"?([^"\s}]+)/g)].map(([, key = "", value = ""]) => [
      key,
      value
    ])
  )
)

const at = (document: unknown, ...path: ReadonlyArray<string | number>): unknown =>
  path.reduce<unknown>((value, key) => (value as Record<string | number, unknown> | undefined)?.[key], document)

describe("examples", () => {
  it("the unit lets a stop take its whole drain.timeout, and leaves agents to the gateway", () => {
    assert.strictEqual(left(setting("TimeoutStopSec")), 30_000)
    assert.strictEqual(setting("KillMode"), "mixed")
    assert.strictEqual(setting("OOMPolicy"), "continue")
  })

  it("the unit restarts for 75, takes 75, 80 and 81 for success, and does not try again what can't get better", () => {
    assert.deepStrictEqual(numbers("RestartForceExitStatus"), [codes.restart])
    assert.deepStrictEqual(numbers("SuccessExitStatus"), [codes.restart, codes.deadline, codes.forced])
    assert.deepStrictEqual(numbers("RestartPreventExitStatus"), [codes.usage, codes.taken, codes.configuration])
  })

  it("the container's supervisor waits as long as the gateway is told, and that is enough", () => {
    const [compose] = parseAllDocuments(text("compose.yaml")).map((document) => document.toJS() as unknown)
    const grace = String(at(compose, "services", "sluice", "stop_grace_period"))
    assert.strictEqual(grace, at(compose, "services", "sluice", "environment", "SLUICE_STOP_BUDGET"))
    assert.strictEqual(left(grace), 30_000)

    const [deployment] = parseAllDocuments(text("kubernetes.yaml")).map((document) => document.toJS() as unknown)
    const pod = at(deployment, "spec", "template", "spec")
    const environment = at(pod, "containers", 0, "env") as ReadonlyArray<{ name: string; value?: string }>
    const budget = environment.find(({ name }) => name === "SLUICE_STOP_BUDGET")?.value ?? ""
    assert.strictEqual(millis(budget), Number(at(pod, "terminationGracePeriodSeconds")) * 1000)
    assert.strictEqual(left(budget), 30_000)
    assert.deepStrictEqual(
      [at(deployment, "spec", "replicas"), at(deployment, "spec", "strategy", "type")],
      [1, "Recreate"]
    )
  })

  it.effect("every variable of the examples is one that the program knows, with a value that it takes", () =>
    Effect.gen(function* () {
      assert.isAtLeast(Object.keys(variables).length, 6)
      const environment = { ...variables, SLUICE_TOKEN: "" }
      const { warnings } = yield* load({ environment, folder: tmpdir() })
      assert.deepStrictEqual(warnings, [])
    })
  )

  it("the program runs from a folder that has nothing but the files that the Dockerfile copies", () => {
    const folder = mkdtempSync(join(tmpdir(), "sluice-image-"))
    try {
      const bundle = dirname(program)
      const files = readdirSync(bundle).filter((name) => /\.c?js$/.test(name))
      for (const name of files) copyFileSync(join(bundle, name), join(folder, name))
      const command = [join(folder, basename(program)), "--version"]
      assert.match(
        execFileSync(process.execPath, command, { cwd: folder, encoding: "utf8" }),
        /^sluice v\d+\.\d+\.\d+\n$/
      )
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it.live("D21: a backup that was made while the gateway runs is restored with its ledger and its open turn", () =>
    Effect.gen(function* () {
      const gateway = yield* start()
      yield* gateway.client.send("kim", "hello", { wait: "10s" })
      yield* gateway.client.send("kim", "work 3s and then answer")
      const backup = join(yield* temporaryFolder, ".sluice")
      execFileSync(process.execPath, [join(examples, "backup.mjs"), gateway.stateDirectory, backup], { stdio: "pipe" })
      yield* gateway.signal("SIGKILL")
      yield* gateway.exited

      const restored = yield* start({ folder: dirname(backup) })
      const replies = yield* restored.client.repliesUntil("kim", 2)
      assert.deepStrictEqual(
        replies.map(({ number, text }) => `${number} ${text}`),
        ["1 hello", "2 work 3s and then answer"]
      )
      const ledger = yield* tool(restored.folder, ["audit", "--json"])
      assert.deepInclude(ledger.json, { accepted: 2, open: 0, balanced: true })
    }).pipe(Effect.scoped)
  )
})
