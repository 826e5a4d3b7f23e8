/**
 * The gateway under test as one file, bundled once per run from the sources that lie
 * beside this one (also in a copy of the tree), so that thousands of boots are quick.
 * Its first boot keeps the compiled code for all others, which are killed too soon.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { rolldown } from "rolldown"

/** A bundled program. */
export interface Bundle {
  /** What `node` runs. */
  readonly program: string
  /** What its environment needs for a quick start. */
  readonly environment: Readonly<Record<string, string>>
  /** The agent of kind `acp`, with the protocol's SDK in it: it is started as often as the gateway. */
  readonly acp: string
}

const source = (path: string) => fileURLToPath(new URL(path, import.meta.url))

const build = async (path: string, format: "cjs" | "esm" = "cjs"): Promise<string> => {
  const bundle = await rolldown({ input: source(path), platform: "node", tsconfig: false, logLevel: "silent" })
  const { output } = await bundle.generate({ format, codeSplitting: false, minify: true })
  await bundle.close()
  return output[0].code
}

/** Runs the program as one script, from compiled code where there is some, and keeps it where there is none. */
const start = `"use strict"
const { existsSync, readFileSync, writeFileSync } = require("node:fs")
const { Script, constants } = require("node:vm")
// As the shipped program does in its first line. Compiled code is refused under other flags than its own.
require("node:v8").setFlagsFromString("--semi-space-growth-factor=1")
const file = __dirname + "/program.cjs"
const kept = __dirname + "/program.code"
const cachedData = existsSync(kept) ? readFileSync(kept) : undefined
const script = new Script(readFileSync(file, "utf8"), {
  filename: file,
  importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  cachedData
})
if (cachedData === undefined) {
  globalThis[Symbol.for("sluice/torture/keep")] = () => writeFileSync(kept, script.createCachedData())
}
script.runInThisContext()(exports, require, module, file, __dirname)
`

/** Runs it once to its end. */
const warm = ({ environment, program }: Pick<Bundle, "environment" | "program">, folder: string) =>
  Effect.callback<void>((resume) => {
    writeFileSync(join(folder, "sluice.yaml"), "{}")
    const child = spawn(process.execPath, [program, "run"], {
      cwd: folder,
      env: {
        PATH: process.env["PATH"],
        SLUICE_PORT: "0",
        SLUICE_STATE_DIR: join(folder, "warm"),
        SLUICE_LOG_FORMAT: "json",
        TORTURE_FAR: "http://127.0.0.1:9",
        ...environment
      },
      stdio: ["ignore", "pipe", "inherit"]
    })
    let out = ""
    child.stdout.on("data", (data: Buffer) => {
      out += data.toString("utf8")
      if (out.includes('"ready"')) child.kill("SIGTERM")
    })
    child.on("close", (code) =>
      resume(code === 0 ? Effect.void : Effect.die(new Error(`the bundled gateway ended with ${code}:\n${out}`)))
    )
    return Effect.sync(() => void child.kill("SIGKILL"))
  })

/** Bundles the gateway under test into a folder that goes with the scope. */
export const bundled: Effect.Effect<Bundle, never, Scope.Scope> = Effect.gen(function* () {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "sluice-torture-program-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }))
  )
  yield* Effect.promise(async () => {
    const program = await build("program.ts")
    const body = `(function (exports, require, module, __filename, __dirname) {\n${program}\n})`
    writeFileSync(join(folder, "program.cjs"), body)
    writeFileSync(join(folder, "watchdogWorker.cjs"), await build("../../../gateway/src/watchdog/watchdogWorker.ts"))
    writeFileSync(join(folder, "start.cjs"), start)
    writeFileSync(join(folder, "acp.mjs"), await build("agents/acp.mjs", "esm"))
  })
  const bundle: Bundle = { program: join(folder, "start.cjs"), environment: {}, acp: join(folder, "acp.mjs") }
  yield* warm(bundle, folder)
  return bundle
})
