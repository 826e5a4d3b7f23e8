/**
 * Configurations for tests: files in a folder of their own, read as the program
 * reads them, and what is wrong with them as lines.
 */
import * as Effect from "effect/Effect"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Sources from "../src/configuration/Sources.ts"

/** Files and other sources of a configuration. */
export interface Given extends Partial<Omit<Sources.Sources, "folder">> {
  readonly files?: { readonly [name: string]: string | Uint8Array }
}

/** Makes the files in a new folder and reads from there. */
export const inFolder = <A, E>(given: Given, use: (sources: Sources.Sources) => Effect.Effect<A, E>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "sluice-configuration-"))),
    (folder) => {
      for (const [name, content] of Object.entries(given.files ?? {})) writeFileSync(join(folder, name), content)
      const { files: _, ...sources } = given
      return use({ environment: {}, folder, ...sources })
    },
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  )

/** Reads a configuration. */
export const load = (given: Given) => inFolder(given, Sources.load)

/** The problems of a configuration, each as one line. */
export const problems = (given: Given) =>
  load(given).pipe(
    Effect.flip,
    Effect.map((error) => error.message.split("\n"))
  )

/** A sluice.yaml, and variables. */
export const yaml = (text: string, environment: Sources.Sources["environment"] = {}) => ({
  files: { "sluice.yaml": text },
  environment
})
