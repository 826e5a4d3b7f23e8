#!/usr/bin/env node
/**
 * The first lines of the program. They import nothing that takes time: a signal
 * that comes while the rest is loaded is written down, not lost and not deadly.
 * Compiled code is kept, so that the next start is quicker.
 */
import process from "node:process"
import { fileURLToPath } from "node:url"
import { record } from "./SignalRecorder.ts"
import * as YoungGeneration from "./YoungGeneration.ts"

const recorder = record()
const cache = fileURLToPath(new URL("../node_modules/.cache/compiled", import.meta.url))
process.getBuiltinModule("node:module").enableCompileCache(cache)
YoungGeneration.keep()
const { main } = await import("./main.ts")
main(recorder)
