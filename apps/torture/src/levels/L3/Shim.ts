/**
 * The preloaded shim from the harness's side: compiled once with the machine's C
 * compiler, switched through a file that is memory for the gateway, and asked
 * afterwards how often it struck. Offsets are those of shim.c.
 */
import { execFileSync, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  writeFileSync,
  writeSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const source = fileURLToPath(new URL("shim.c", import.meta.url))

/** Calls on the store's files that can be made to fail. */
export const calls = ["open", "read", "write", "sync", "truncate", "map"] as const
export type Call = (typeof calls)[number]

/** Errors by their number on Linux. */
export const errors = { EIO: 5, EACCES: 13, ENOSPC: 28, EROFS: 30 } as const

/** Which of the store's files a rule is for. */
export const files = { database: 1, wal: 2, shm: 4, all: 7 } as const

const modes = { fail: 1, slow: 2, short: 3 } as const

/** What happens to a call from now on. */
export interface Rule {
  readonly mode: keyof typeof modes
  readonly error?: keyof typeof errors
  readonly millis?: number
  readonly files?: number
  /** Calls that still go well. */
  readonly skip?: number
  /** How many are hit; all when it is left out. */
  readonly times?: number
}

const wordsOfHead = 4
const wordsOfRule = 8
const words = wordsOfHead + wordsOfRule * calls.length
const clocked = 1
const loaded = 2
const seen = 6
const injected = 7

/** A running shim: one control file for all boots of a world. */
export interface Shim {
  /** What the gateway's environment needs. */
  readonly environment: Readonly<Record<string, string>>
  readonly set: (call: Call, rule: Rule) => void
  readonly clear: (call?: Call) => void
  /** The wall clock's offset in milliseconds. */
  readonly jump: (millis: number) => void
  /** Pid of the last process that loaded it; 0 when none has. */
  readonly loadedBy: () => number
  /** Calls that a rule has hit, ever. */
  readonly injected: (call?: Call) => number
  /** Calls that passed by a rule, hit or not. */
  readonly seen: (call: Call) => number
  /** Times that were given out with an offset. */
  readonly clocked: () => number
  readonly close: () => void
}

/** Compiles the shim unless that was done before for this source; says why it can't. */
export const compile = (): { readonly library: string } | { readonly missing: string } => {
  if (process.platform !== "linux") return { missing: `the shim is for Linux, this is ${process.platform}` }
  const folder = join(tmpdir(), `sluice-torture-${process.getuid?.() ?? 0}`)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const library = join(
    folder,
    `shim-${createHash("sha256").update(readFileSync(source)).digest("hex").slice(0, 12)}.so`
  )
  try {
    if (!existsSync(library)) {
      const made = `${library}.${process.pid}`
      execFileSync("cc", ["-shared", "-fPIC", "-O2", "-o", made, source, "-ldl"], { stdio: "pipe" })
      renameSync(made, library)
    }
    // The loader goes on without one that it can't have: from a folder with a space in its name, or where nothing may be run.
    const { stderr } = spawnSync(process.execPath, ["-e", ""], { env: { LD_PRELOAD: library }, encoding: "utf8" })
    return stderr.includes("LD_PRELOAD") ? { missing: `the shim can't be loaded: ${stderr.trim()}` } : { library }
  } catch (error) {
    const why = error instanceof Error ? error.message.split("\n")[0] : String(error)
    return { missing: `no C compiler that makes the shim: ${why}` }
  }
}

/** Makes a shim for the store at `database`, which is the path that SQLite opens: resolved, without links. */
export const make = (library: string, control: string, database: string): Shim => {
  writeFileSync(control, Buffer.alloc(words * 8), { mode: 0o600 })
  const descriptor = openSync(control, "r+")
  const word = Buffer.alloc(8)
  const put = (at: number, value: number) => {
    word.writeBigInt64LE(BigInt(Math.trunc(value)))
    writeSync(descriptor, word, 0, 8, at * 8)
  }
  const get = (at: number): number => {
    readSync(descriptor, word, 0, 8, at * 8)
    return Number(word.readBigInt64LE())
  }
  const place = (call: Call) => wordsOfHead + wordsOfRule * calls.indexOf(call)
  const chosen = (call?: Call): ReadonlyArray<Call> => (call === undefined ? calls : [call])
  return {
    environment: { LD_PRELOAD: library, TORTURE_SHIM_CONTROL: control, TORTURE_SHIM_STORE: database },
    set: (call, rule) => {
      const at = place(call)
      put(at, 0)
      put(at + 1, rule.error === undefined ? 0 : errors[rule.error])
      put(at + 2, (rule.millis ?? 0) * 1000)
      put(at + 3, rule.files ?? files.all)
      put(at + 4, rule.skip ?? 0)
      put(at + 5, rule.times ?? -1)
      // Last: from here on it is in force.
      put(at, modes[rule.mode])
    },
    clear: (call) => {
      for (const each of chosen(call)) put(place(each), 0)
    },
    jump: (millis) => put(0, millis),
    loadedBy: () => get(loaded),
    injected: (call) => chosen(call).reduce<number>((sum, each) => sum + get(place(each) + injected), 0),
    seen: (call) => get(place(call) + seen),
    clocked: () => get(clocked),
    close: () => closeSync(descriptor)
  }
}
