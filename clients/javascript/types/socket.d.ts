/**
 * Where a WebSocket comes from: the platform's, or the optional package `ws` where Node has none.
 *
 * @module
 */
export type Socket = {
    readyState: number;
    bufferedAmount: number;
    protocol: string;
    binaryType: string;
    onopen: ((event: any) => void) | null;
    onmessage: ((event: any) => void) | null;
    onclose: ((event: any) => void) | null;
    onerror: ((event: any) => void) | null;
    send: (data: any) => void;
    close: (code?: number, reason?: string) => void;
    /**
     * only `ws` has it
     */
    terminate?: () => void;
};
export type SocketConstructor = new (url: string, protocols: string[], options?: any) => Socket;
/**
 * What this client uses of a WebSocket: browsers', Node's and that of `ws` all have it.
 *
 * @typedef {object} Socket
 * @property {number} readyState
 * @property {number} bufferedAmount
 * @property {string} protocol
 * @property {string} binaryType
 * @property {((event: any) => void) | null} onopen
 * @property {((event: any) => void) | null} onmessage
 * @property {((event: any) => void) | null} onclose
 * @property {((event: any) => void) | null} onerror
 * @property {(data: any) => void} send
 * @property {(code?: number, reason?: string) => void} close
 * @property {() => void} [terminate]  only `ws` has it
 */
/** @typedef {new (url: string, protocols: string[], options?: any) => Socket} SocketConstructor */
/**
 * @param {SocketConstructor} [given]  the caller's, taken as it is
 * @returns {Promise<SocketConstructor>}
 * @throws {BannouError} when there is none
 */
export declare function findWebSocket(given?: SocketConstructor): Promise<SocketConstructor>;
/**
 * @param {string} url  `ws:`, `wss:`, `http:`, `https:`, or relative to the page
 * @returns {string}
 */
export declare function socketUrl(url: string): string;
