/**
 * Events with typed payloads. `EventTarget` would wrap every payload in an `Event` and cannot be typed.
 *
 * @module
 */

/**
 * @template {Record<string, any>} Events  name → what the listener is given
 */
export class Emitter {
  /** @type {Map<keyof Events, Set<(detail: any) => void>>} */
  #listeners = new Map();

  /**
   * @template {keyof Events} Name
   * @param {Name} name
   * @param {(detail: Events[Name]) => void} listener
   * @returns {() => void}  removes it again
   */
  on(name, listener) {
    let set = this.#listeners.get(name);
    if (!set) this.#listeners.set(name, (set = new Set()));
    set.add(listener);
    return () => this.off(name, listener);
  }

  /**
   * @template {keyof Events} Name
   * @param {Name} name
   * @param {(detail: Events[Name]) => void} listener
   */
  off(name, listener) {
    const set = this.#listeners.get(name);
    set?.delete(listener);
    if (set?.size === 0) this.#listeners.delete(name);
  }

  /**
   * The next such event, or the next that satisfies `accept`.
   *
   * @template {keyof Events} Name
   * @param {Name} name
   * @param {object} [options]
   * @param {(detail: Events[Name]) => boolean} [options.accept]
   * @param {AbortSignal} [options.signal]  rejects with its reason
   * @returns {Promise<Events[Name]>}
   */
  once(name, { accept = () => true, signal } = {}) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const abort = () => {
        remove();
        reject(signal?.reason);
      };
      const remove = this.on(name, (detail) => {
        if (!accept(detail)) return;
        remove();
        signal?.removeEventListener("abort", abort);
        resolve(detail);
      });
      signal?.addEventListener("abort", abort, { once: true });
    });
  }

  /**
   * @param {keyof Events} name
   * @returns {boolean}
   */
  hasListeners(name) {
    return this.#listeners.has(name);
  }

  /**
   * A listener that throws is reported and does not keep the others from being called.
   *
   * @template {keyof Events} Name
   * @param {Name} name
   * @param {Events[Name]} detail
   */
  emit(name, detail) {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        listener(detail);
      } catch (error) {
        console.error(`a listener of ${String(name)} failed`, error);
      }
    }
  }
}
