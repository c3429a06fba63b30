import java.io.IOException;
import java.net.Socket;

/** Connects, waits for a byte that never comes, and says why it has ended. */
class Waits {
    public static void main(String[] words) {
        try (Socket socket = new Socket(words[0], Integer.parseInt(words[1]))) {
            System.out.println("connected");
            socket.getInputStream().read();
            System.out.println("no error");
        } catch (IOException error) {
            System.out.println(error);
        }
        System.exit(1);
    }
}
