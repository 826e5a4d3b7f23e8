/**
 * A copy of the repository to break. Its packages find each other and what they
 * depend on: the links of every room are copied as links, and those to other rooms
 * are relative, so they lead to the rooms of the copy; what is installed is shared.
 */
import { cpSync, lstatSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, dirname, join, relative, sep } from "node:path"

const leftOut: ReadonlySet<string> = new Set([".git", ".sluice", "dist", "coverage"])

/** Whether something of the repository is copied; its path is relative to the root. */
const belongs = (root: string, path: string): boolean => {
  const parts = path.split(sep)
  const at = parts.indexOf("node_modules")
  if (at === -1) return !leftOut.has(basename(path))
  // The one of the root is shared as a whole.
  if (at === 0) return false
  // Of a room's: its links, and the folders of scopes with theirs. The rest is caches.
  const within = parts.slice(at + 1)
  if (within.length === 0) return true
  return lstatSync(join(root, path)).isSymbolicLink() || (within.length === 1 && within[0]?.startsWith("@") === true)
}

/** Copies the tree as it stands, uncommitted changes included; returns the copy's folder. */
export const copyOf = (root: string): string => {
  const copy = mkdtempSync(join(tmpdir(), "sluice-mutant-"))
  const filter = (source: string) => belongs(root, relative(root, source))
  for (const item of readdirSync(root, { withFileTypes: true })) {
    // Folders that begin with a dot are not the project's: caches of a build machine, and the one that the copy may lie in.
    if ((item.isDirectory() && item.name.startsWith(".")) || !belongs(root, item.name)) continue
    cpSync(join(root, item.name), join(copy, item.name), { recursive: true, verbatimSymlinks: true, filter })
  }
  symlinkSync(join(root, "node_modules"), join(copy, "node_modules"))
  return copy
}

/** Removes a copy. */
export const remove = (copy: string): void => {
  // Nothing but what `copyOf` made.
  if (dirname(copy) === tmpdir()) rmSync(copy, { recursive: true, force: true, maxRetries: 3 })
}
