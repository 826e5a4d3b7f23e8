/**
 * Files that belong to messages, named by the SHA-256 of their bytes. A file is
 * written under a temporary name, synced, renamed and its folder synced before
 * `put` returns, and only then a channel accepts the message: a crash in between
 * leaves a file without a row, never a row without its file. What no row knows
 * is swept after an hour, except what this process handed out meanwhile.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type * as PlatformError from "effect/PlatformError"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import { sha256 } from "./internal/node/sha256.ts"
import { Attachment, Storage, TooLarge } from "./Message.ts"

/** What a caller says of the bytes that it hands in. `limit` in bytes overrides the store's own. */
export interface About {
  readonly type: string
  readonly name?: string
  readonly limit?: number
}

/** The largest attachment unless the store is configured otherwise: 25 MiB. */
export const defaultLimit = 25 * 1024 * 1024

const isHash = (text: string): boolean => /^[0-9a-f]{64}$/.test(text)
const temporary = ".writing-"

/** The store of attachments: content in, hash out. */
export class Attachments extends Context.Service<
  Attachments,
  {
    /**
     * Stores the bytes. Success = they are on disk under their hash; whatever
     * ends it before leaves nothing that a message could refer to.
     */
    readonly put: <E, R>(
      content: Stream.Stream<Uint8Array, E, R>,
      about: About
    ) => Effect.Effect<Attachment, E | TooLarge | Storage, R>
    /**
     * The size in bytes of a stored file, `undefined` when there is none. The
     * file is not swept within the next hour, so a message that refers to it can
     * be accepted. Text that is no hash is never looked up as a path.
     */
    readonly find: (hash: string) => Effect.Effect<number | undefined, Storage>
    /** The bytes of a stored file with their number; `undefined` when there is none. */
    readonly read: (
      hash: string
    ) => Effect.Effect<
      { readonly size: number; readonly content: Stream.Stream<Uint8Array, Storage> } | undefined,
      Storage
    >
    /** Where the file of a hash is, for an agent that reads it. `undefined` for text that is no hash. */
    readonly path: (hash: string) => string | undefined
    /** Deletes the files of these hashes, whatever their age: no message refers to them any more. */
    readonly remove: (hashes: ReadonlyArray<string>) => Effect.Effect<void, Storage>
    /** Deletes files that are in no row and older than an hour. Returns their names. */
    readonly sweep: (known: ReadonlySet<string>) => Effect.Effect<ReadonlyArray<string>, Storage>
  }
>()("@sluice/runtime/Attachments") {
  /** Attachments as files in one folder (0700, files 0600) of a local disk. */
  static layer(options: {
    readonly folder: string
    readonly limit?: number
    readonly keep?: Duration.Input
  }): Layer.Layer<Attachments, Storage, FileSystem.FileSystem | Path.Path> {
    return Layer.effect(Attachments, makeFiles(options))
  }
}

const unstored = (cause: PlatformError.PlatformError) => new Storage({ retryAfter: 5000, cause })

/** Copies the stream into the open file; the hash and the size of what was written. */
const write = Effect.fnUntraced(function* <E, R>(
  file: FileSystem.File,
  content: Stream.Stream<Uint8Array, E, R>,
  limit: number
) {
  const hash = sha256()
  let size = 0
  yield* Stream.runForEach(content, (chunk) =>
    Effect.suspend((): Effect.Effect<void, TooLarge | Storage> => {
      size += chunk.byteLength
      if (size > limit) return Effect.fail(new TooLarge({ field: "attachment", size, limit, unit: "bytes" }))
      hash.update(chunk)
      return Effect.mapError(file.writeAll(chunk), unstored)
    })
  )
  // the bytes are on disk before the name that a message may refer to exists
  yield* Effect.mapError(file.sync, unstored)
  return { hash: hash.hex(), size }
})

const makeFiles = Effect.fnUntraced(function* (options: {
  readonly folder: string
  readonly limit?: number
  readonly keep?: Duration.Input
}) {
  const fs = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  const limit = options.limit ?? defaultLimit
  const keep = Duration.toMillis(options.keep ?? "1 hour")
  // Monotonic time of the last use in this process. A wall clock that jumps can't make the sweep
  // take a file between the upload and the message that refers to it.
  const used = new Map<string, bigint>()
  // One rename, look-up or deletion at a time: a file is never found and deleted in the same moment.
  const turn = Semaphore.makeUnsafe(1)
  let counter = 0

  yield* fs.makeDirectory(options.folder, { recursive: true, mode: 0o700 }).pipe(Effect.mapError(unstored))
  yield* fs.chmod(options.folder, 0o700).pipe(Effect.mapError(unstored))

  const touch = (name: string) =>
    Effect.map(Clock.monotonicTimeNanos, (now) => {
      used.set(name, now)
    })

  const syncFolder = Effect.scoped(Effect.flatMap(fs.open(options.folder, { flag: "r" }), (folder) => folder.sync))

  const put = Effect.fnUntraced(function* <E, R>(content: Stream.Stream<Uint8Array, E, R>, about: About) {
    const name = `${temporary}${globalThis.crypto.randomUUID()}-${counter++}`
    const path = paths.join(options.folder, name)
    yield* touch(name)
    const written = yield* Effect.scoped(
      Effect.flatMap(Effect.mapError(fs.open(path, { flag: "wx", mode: 0o600 }), unstored), (file) =>
        write(file, content, about.limit ?? limit)
      )
    ).pipe(
      // no half of a file stays behind; when even that fails, the sweep finds it by its name
      Effect.onError(() => Effect.andThen(Effect.ignore(fs.remove(path, { force: true })), forget(name)))
    )
    yield* turn.withPermits(1)(
      touch(written.hash).pipe(
        Effect.andThen(fs.rename(path, paths.join(options.folder, written.hash))),
        Effect.andThen(forget(name)),
        Effect.mapError(unstored)
      )
    )
    yield* Effect.mapError(syncFolder, unstored)
    return new Attachment({
      hash: written.hash,
      size: written.size,
      type: about.type,
      ...(about.name === undefined ? {} : { name: about.name })
    })
  })

  const forget = (name: string) => Effect.sync(() => void used.delete(name))

  const info = (name: string) =>
    fs.stat(paths.join(options.folder, name)).pipe(
      Effect.map((stat) => (stat.type === "File" ? stat : undefined)),
      Effect.catchIf(
        (error) => error.reason._tag === "NotFound",
        () => Effect.void
      ),
      Effect.mapError(unstored)
    )

  const find = Effect.fnUntraced(function* (hash: string) {
    if (!isHash(hash)) return undefined
    yield* touch(hash)
    const stat = yield* turn.withPermits(1)(info(hash))
    if (stat === undefined) yield* forget(hash)
    return stat === undefined ? undefined : Number(stat.size)
  })

  const read = (hash: string) =>
    Effect.map(find(hash), (size) =>
      size === undefined
        ? undefined
        : { size, content: Stream.mapError(fs.stream(paths.join(options.folder, hash)), unstored) }
    )

  const sweepOne = Effect.fnUntraced(function* (name: string) {
    const last = used.get(name)
    if (last !== undefined && Number((yield* Clock.monotonicTimeNanos) - last) / 1e6 < keep) return false
    const stat = yield* info(name)
    if (stat === undefined) return false
    const changed = Option.getOrUndefined(stat.mtime)?.getTime() ?? 0
    if ((yield* Clock.currentTimeMillis) - changed < keep) return false
    yield* Effect.mapError(fs.remove(paths.join(options.folder, name), { force: true }), unstored)
    used.delete(name)
    return true
  })

  const sweep = Effect.fnUntraced(function* (known: ReadonlySet<string>) {
    const names = yield* Effect.mapError(fs.readDirectory(options.folder), unstored)
    const ours = names.filter((name) => name.startsWith(temporary) || (isHash(name) && !known.has(name)))
    const gone = yield* Effect.filter(ours, (name) => turn.withPermits(1)(sweepOne(name)))
    // a file that a row knows needs no protection of its own any more
    for (const hash of known) used.delete(hash)
    return gone
  })

  const remove = (hashes: ReadonlyArray<string>) =>
    Effect.forEach(
      hashes.filter(isHash),
      (hash) =>
        turn.withPermits(1)(
          Effect.andThen(
            Effect.mapError(fs.remove(paths.join(options.folder, hash), { force: true }), unstored),
            forget(hash)
          )
        ),
      { discard: true }
    )

  return Attachments.of({
    put,
    remove,
    find,
    read,
    path: (hash) => (isHash(hash) ? paths.join(options.folder, hash) : undefined),
    sweep
  })
})
