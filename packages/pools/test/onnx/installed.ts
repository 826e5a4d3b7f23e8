// Where the library that runs ONNX models is, for tests of real ones: `scripts/library.mjs` installs it on demand, as it is
// too large to be a dependency. Without it those tests are skipped, and their titles say what to run.
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"

const folder = fileURLToPath(new URL("../../../../node_modules/.cache/libraries/transformers", import.meta.url))

/** The folder that has it; `undefined` when it is not installed. */
export const library: string | undefined = existsSync(folder) ? folder : undefined

export const missing = library === undefined ? "(skipped: run `node scripts/library.mjs` once with a network)" : ""
