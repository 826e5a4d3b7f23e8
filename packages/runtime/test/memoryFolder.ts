/**
 * Where tests lay stores whose processes only pretend to die: in memory where the
 * system has such a place, for the page cache outlives them all the same. In many
 * containers it has 64 MB, which are used up by a few workers side by side.
 */
import { accessSync, constants, statfsSync } from "node:fs"
import { tmpdir } from "node:os"

const place = "/dev/shm"
const enough = 512 * 1024 ** 2

const isRoomy = (): boolean => {
  try {
    accessSync(place, constants.W_OK | constants.X_OK)
    const { bavail, bsize } = statfsSync(place)
    return bavail * bsize >= enough
  } catch {
    return false
  }
}

/** A folder for folders of tests. */
export const memoryFolder: string = isRoomy() ? place : tmpdir()
