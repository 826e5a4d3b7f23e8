/**
 * The bundle's chunks, compiled once for all starts. Node's own compile cache keeps what V8 compiles before a module
 * runs, which is its outermost lines; here the compiled code is kept when the gateway is ready, with every function
 * that a start calls in it: a third less time from start to ready. A chunk's name holds the hash of its content, so
 * kept code is never another build's; code of another V8 is refused by V8, and broken code by its checksum.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import Module, { createRequire } from "node:module"
import { join } from "node:path"
import process from "node:process"
import { constants, Script } from "node:vm"
import { crc32 } from "node:zlib"

interface Chunk {
  exports: unknown
}

type Body = (exports: unknown, require: (id: string) => unknown, module: Chunk, file: string, folder: string) => void

/** Chunks of a folder. */
export interface Chunks {
  /** Runs a chunk, and those that it needs, and returns its exports. */
  readonly load: (name: string) => unknown
  /** Keeps the code of the chunks that were loaded and had none. Takes some 20 ms, once for each build. */
  readonly keep: () => void
}

const hashed = (name: string): boolean => /-[\w-]{8}\.cjs$/.test(name)

/** Kept code begins with its checksum. Without it, or with another, there is none. */
const read = (path: string): Buffer | undefined => {
  try {
    const bytes = readFileSync(path)
    const code = bytes.subarray(4)
    return bytes.length > 4 && bytes.readUInt32LE(0) === crc32(code) ? code : undefined
  } catch {
    return undefined
  }
}

const write = (folder: string, name: string, code: Buffer): void => {
  const checksum = Buffer.alloc(4)
  checksum.writeUInt32LE(crc32(code))
  const temporary = join(folder, `${name}.${process.pid}`)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  writeFileSync(temporary, Buffer.concat([checksum, code]), { mode: 0o600 })
  renameSync(temporary, join(folder, name))
}

/** With --enable-source-maps, which Node has for modules only. */
const mapped = (file: string): Body => {
  const module = new Module(file) as Module & { readonly _compile: (source: string, file: string) => void }
  module._compile(`module.exports = ${readFileSync(file, "latin1")}`, file)
  return module.exports as Body
}

/** The chunks of `folder`, whose code is kept in `cache`. */
export const chunksIn = (folder: string, cache: string): Chunks => {
  const native = createRequire(join(folder, "bin.js"))
  const chunks = new Map<string, Chunk>()
  const fresh = new Map<string, Script>()
  const compile = (name: string, file: string): Body => {
    if (process.sourceMapsEnabled) return mapped(file)
    const cachedData = hashed(name) ? read(join(cache, name)) : undefined
    const importModuleDynamically = constants.USE_MAIN_CONTEXT_DEFAULT_LOADER
    // The bundle is plain ASCII, and its chunks are functions already: a megabyte that is neither decoded nor copied.
    const script = new Script(readFileSync(file, "latin1"), {
      filename: file,
      // The function begins in a line of its own.
      lineOffset: -1,
      importModuleDynamically,
      ...(cachedData && { cachedData })
    })
    if (hashed(name) && (cachedData === undefined || script.cachedDataRejected === true)) fresh.set(name, script)
    return script.runInThisContext() as Body
  }
  const load = (name: string): unknown => {
    const known = chunks.get(name)
    if (known !== undefined) return known.exports
    const file = join(folder, name)
    const body = compile(name, file)
    const chunk: Chunk = { exports: {} }
    chunks.set(name, chunk)
    body(chunk.exports, (id) => (id.startsWith("./") ? load(id.slice(2)) : native(id)), chunk, file, folder)
    return chunk.exports
  }
  const keep = () => {
    for (const [name, script] of fresh) {
      try {
        write(cache, name, script.createCachedData())
      } catch {
        // A folder that nobody may write to, a full disk: the next start compiles again, and that is all.
      }
    }
    fresh.clear()
  }
  return { load, keep }
}
