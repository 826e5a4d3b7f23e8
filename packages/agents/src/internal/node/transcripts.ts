/**
 * The files in which the Claude Code CLI keeps its conversations: one for each,
 * `projects/<working folder>/<id>.jsonl` below its configuration folder. They are
 * only read here, after a crash mostly, and removed when a person asks for it.
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { open, readdir, rm, stat } from "node:fs/promises"
import { join } from "node:path"

/** No more than the end of a transcript is read: the turn that was cut off is there. */
const mostRead = 64 * 1024 * 1024

const isGone = (cause: unknown): boolean => {
  const { code } = cause as NodeJS.ErrnoException
  return code === "ENOENT" || code === "ENOTDIR"
}

const noneIfGone = (cause: unknown): [] => {
  if (isGone(cause)) return []
  throw cause
}

const ifThere = <A>(what: () => Promise<A>): Effect.Effect<A | undefined> =>
  Effect.tryPromise(what).pipe(
    Effect.catch(({ cause }) => {
      if (isGone(cause)) return Effect.undefined
      return Effect.as(Effect.logWarning("a transcript could not be read", cause), undefined)
    })
  )

/** Where the conversation lies; in whichever working folder it was begun. */
export const locate = Effect.fnUntraced(function* (
  configFolder: string,
  id: string
): Effect.fn.Return<string | undefined> {
  const projects = join(configFolder, "projects")
  for (const folder of (yield* ifThere(() => readdir(projects))) ?? []) {
    const path = join(projects, folder, `${id}.jsonl`)
    if ((yield* ifThere(() => stat(path)))?.isFile() === true) return path
  }
  return undefined
})

/** The lines of a transcript, oldest first; the first of a very large one may be cut off. */
export const lines = (path: string): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(
    ifThere(async () => {
      const file = await open(path)
      try {
        const { size } = await file.stat()
        const length = Math.min(size, mostRead)
        const { buffer } = await file.read(Buffer.alloc(length), 0, length, size - length)
        return buffer.toString("utf8").split("\n")
      } finally {
        await file.close()
      }
    }),
    (found) => found ?? []
  )

/** How deep below the configuration folder anything is named after a conversation. */
const deepest = 3

/** Removes a conversation, and whatever else there is that is named after it. Fails when something could not be removed. */
export const remove = (configFolder: string, id: string): Effect.Effect<void, Cause.UnknownError> =>
  Effect.tryPromise(async () => {
    const look = async (folder: string, depth: number): Promise<void> => {
      for (const entry of await readdir(folder, { withFileTypes: true }).catch(noneIfGone)) {
        const path = join(folder, entry.name)
        if (entry.name === id || entry.name.startsWith(`${id}.`) || entry.name.startsWith(`${id}-`)) {
          await rm(path, { recursive: true, force: true })
        } else if (entry.isDirectory() && depth < deepest) {
          await look(path, depth + 1)
        }
      }
    }
    await look(configFolder, 1)
  })
