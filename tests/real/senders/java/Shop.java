import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.concurrent.Executors;

/** A shop for Java with the JDK's own server and client; its spans come from the Java agent alone. See ../README.md. */
public class Shop {
    private static final HttpClient CLIENT = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

    public static void main(String[] args) throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0])), 0);
        server.setExecutor(Executors.newFixedThreadPool(8));
        if (args.length > 1) {
            server.createContext("/item/", exchange -> {
                String id = exchange.getRequestURI().getPath().substring("/item/".length());
                get(args[1] + "/stock/" + id);
                get(args[2] + "/charge");
                answer(exchange);
            });
        } else {
            server.createContext("/stock/", Shop::answer);
        }
        server.start();
        System.out.println("ready");
    }

    private static void get(String url) throws IOException {
        try {
            CLIENT.send(HttpRequest.newBuilder(URI.create(url)).build(), HttpResponse.BodyHandlers.ofString());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private static void answer(HttpExchange exchange) throws IOException {
        byte[] body = "{}".getBytes();
        exchange.sendResponseHeaders(200, body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }
}
