/**
 * What stands beside a store's file, and what is asked of the file system around
 * it. The database file itself is opened by SQLite only: opening and closing it
 * here by any other means would drop the locks that this process holds on it;
 * changing its mode and looking at its folder do not.
 */
import * as fs from "node:fs"
import * as path from "node:path"

/** What can be done beside one store. */
export interface StoreFiles {
  /** Name of the network file system that the store is on, if it is. */
  readonly networkFileSystem: () => string | undefined
  /** Readable for its owner alone. */
  readonly protect: () => void
  /** Keeps 1 MiB back for the day on which the disk is full. */
  readonly keepReserve: () => void
  readonly freeReserve: () => void
  /** Where the word of a storage failure is left. */
  readonly word: string
  /** The epoch that ended in a storage failure which the store itself could not note. Throws when the word can't be read. */
  readonly failedEpoch: () => number | undefined
  readonly leaveWord: (epoch: number) => void
  readonly clearWord: () => void
  /** Deletes the copies that were made before upgrades. */
  readonly dropCopies: () => void
  /** Bytes of the write-ahead log. */
  readonly walBytes: () => number
  /** Remembers which file it is; the answer says whether that one still has this name. */
  readonly watchPlace: () => () => boolean
}

const reserveBytes = 1024 * 1024

// Types of statfs on Linux.
const networkTypes: ReadonlyMap<number, string> = new Map([
  [0x6969, "NFS"],
  [0x517b, "SMB"],
  [0xff534d42, "CIFS"],
  [0xfe534d42, "SMB2"],
  [0x5346414f, "AFS"],
  [0x73757245, "Coda"],
  [0x00c36400, "Ceph"],
  [0x0bd00bd0, "Lustre"],
  [0x01161970, "GFS2"],
  [0x7461636f, "OCFS2"]
])

/** Name of the network file system that has this type in statfs, if it is one. */
export const networkFileSystemOf = (type: number): string | undefined => networkTypes.get(type >>> 0)

const sizeOf = (file: string): number => fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0

const readWord = (file: string): number | undefined => {
  if (!fs.existsSync(file)) return undefined
  const epoch = Number(fs.readFileSync(file, "utf8"))
  return Number.isSafeInteger(epoch) ? epoch : undefined
}

/** See {@link StoreFiles}. */
export const storeFiles = (file: string): StoreFiles => {
  const reserve = `${file}.reserve`
  const word = `${file}.failed`
  return {
    networkFileSystem: () => networkFileSystemOf(fs.statfsSync(path.dirname(file)).type),
    protect: () => {
      for (const suffix of ["", "-wal", "-shm", ".lock"]) {
        if (fs.existsSync(file + suffix)) fs.chmodSync(file + suffix, 0o600)
      }
    },
    keepReserve: () => {
      if (sizeOf(reserve) < reserveBytes) fs.writeFileSync(reserve, Buffer.alloc(reserveBytes, 1), { mode: 0o600 })
    },
    freeReserve: () => {
      fs.rmSync(reserve, { force: true })
    },
    word,
    failedEpoch: () => readWord(word),
    leaveWord: (epoch) => {
      fs.writeFileSync(word, String(epoch), { mode: 0o600 })
    },
    clearWord: () => {
      fs.rmSync(word, { force: true })
    },
    dropCopies: () => {
      const folder = path.dirname(file)
      const copies = fs.readdirSync(folder).filter((name) => name.startsWith(`${path.basename(file)}.before-`))
      for (const name of copies) fs.rmSync(path.join(folder, name), { force: true })
    },
    walBytes: () => sizeOf(`${file}-wal`),
    watchPlace: () => {
      const look = () => fs.statSync(file, { throwIfNoEntry: false })
      const first = look()
      return () => {
        const now = look()
        return now !== undefined && now.ino === first?.ino && now.dev === first.dev
      }
    }
  }
}
