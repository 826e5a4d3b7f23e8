/**
 * The entry of a thread of L0. Each suspended fiber would make a resource for
 * asynchronous hooks, and each error would look for its place: a simulation needs
 * neither, and makes a million a second. Both are taken away before Effect is loaded.
 */
import process from "node:process"
import { parentPort, workerData } from "node:worker_threads"
import type { Share } from "./share.ts"

const builtin = process.getBuiltinModule.bind(process)
Object.assign(process, {
  getBuiltinModule: (name: string) => (name === "node:async_hooks" ? undefined : builtin(name))
})

// A refusal or a lost request is no news here: nobody reads where it was made.
Error.stackTraceLimit = 0

const { runShare } = await import("./share.ts")
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a port is no window
await runShare(workerData as Share, (sum) => parentPort?.postMessage(sum))
