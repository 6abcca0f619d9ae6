// Pictures that were dropped, pasted or chosen: number -> {name, size, url to show, data to send}. They live as long as
// the tab.
import { service } from "./service.js";

export const uploads = new Map();
let latest = Date.now(); // so that a number which an older entry of the history holds is never another picture's

const base64 = (file) =>
  new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => failed(new Error(`${file.name} cannot be read`));
    reader.readAsDataURL(file);
  });

// -> the number. Throws where the file is no picture or larger than the service takes.
export async function upload(file) {
  const most = service.value.limits?.bytes;
  if (!file.type.startsWith("image/")) throw new Error(`${file.name} is not a picture.`);
  if (most && file.size > most)
    throw new Error(`${file.name} has ${megabytes(file.size)} MB and ${megabytes(most)} MB are taken; make it smaller.`);
  const number = ++latest;
  const [name, url, data] = [file.name || "pasted picture", URL.createObjectURL(file), await base64(file)];
  uploads.set(number, { name, size: file.size, url, data });
  return number;
}

const megabytes = (bytes) => (bytes / 1e6).toFixed(1);

export const picturesOf = (transfer) => [...(transfer?.files ?? [])].filter((file) => file.type.startsWith("image/"));

// A chip or a shown picture -> as the service takes it, and as it is drawn.
export const sent = (each) => (each.upload ? { data: uploads.get(each.upload).data } : { content: each.content });
export const thumbnail = (each) =>
  each.upload ? uploads.get(each.upload).url : `/api/pictures/${each.content}/thumbnail`;
export const nameOf = (each) => (each.upload ? uploads.get(each.upload).name : "a picture of the index");
