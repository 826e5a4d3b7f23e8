/**
 * The gateway under test as one file, bundled once per run from the sources that lie
 * beside this one (also in a copy of the tree), so that thousands of boots are quick.
 * Its first boot fills the compile cache: a process that is killed never writes it.
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
}

const source = (path: string) => fileURLToPath(new URL(path, import.meta.url))

const write = async (folder: string, path: string, format: "esm" | "cjs", extension: string) => {
  const bundle = await rolldown({ input: source(path), platform: "node", tsconfig: false, logLevel: "silent" })
  const names = { entryFileNames: `[name].${extension}`, chunkFileNames: "[name].js" }
  await bundle.write({ dir: folder, format, ...names, codeSplitting: false, minify: true })
  await bundle.close()
}

/** Runs it once to its end. */
const warm = ({ environment, program }: Bundle, folder: string) =>
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
  // Chunks beside it would be named .js: this says which of both kinds they are.
  writeFileSync(join(folder, "package.json"), '{"type":"module"}')
  yield* Effect.promise(async () => {
    await write(folder, "../../../gateway/src/watchdogWorker.ts", "cjs", "cjs")
    await write(folder, "program.ts", "esm", "js")
  })
  const bundle: Bundle = {
    program: join(folder, "program.js"),
    environment: { NODE_COMPILE_CACHE: join(folder, "compiled") }
  }
  yield* warm(bundle, folder)
  return bundle
})
