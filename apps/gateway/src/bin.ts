#!/usr/bin/env node
/**
 * The first lines of the program. They import nothing that takes time: a signal
 * that comes while the rest is loaded is written down, not lost and not deadly.
 * Compiled code is kept, so that the next start is quicker.
 */
import { fileURLToPath } from "node:url"
import { chunksIn } from "./process/Compiled.ts"
import type * as Main from "./main.ts"
import { record } from "./process/SignalRecorder.ts"
import * as YoungGeneration from "./process/YoungGeneration.ts"

const recorder = record()
YoungGeneration.keep()
const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))
const chunks = chunksIn(here("."), here("compiled"))
const fromSource = import.meta.url.endsWith(".ts")
const { main } = fromSource ? await import("./main.ts") : (chunks.load("main.cjs") as typeof Main)
main(recorder, () => {
  chunks.keep()
  YoungGeneration.release()
})
