import com.intellij.util.execution.ParametersListUtil;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.jdom.Element;
import org.jetbrains.jps.model.JpsElement;
import org.jetbrains.jps.model.JpsElementFactory;
import org.jetbrains.jps.model.JpsExcludePattern;
import org.jetbrains.jps.model.JpsProject;
import org.jetbrains.jps.model.JpsSimpleElement;
import org.jetbrains.jps.model.java.JavaSourceRootType;
import org.jetbrains.jps.model.library.sdk.JpsSdkReference;
import org.jetbrains.jps.model.module.JpsDependencyElement;
import org.jetbrains.jps.model.module.JpsModule;
import org.jetbrains.jps.model.module.JpsModuleSourceRoot;
import org.jetbrains.jps.model.module.JpsModuleSourceDependency;
import org.jetbrains.jps.model.module.JpsSdkDependency;
import org.jetbrains.jps.model.runConfiguration.JpsRunConfiguration;
import org.jetbrains.jps.model.serialization.JpsProjectLoader;

/**
 * Answers each line of its input, a verb and its subject in Base64, with a line of JSON: what JetBrains' own code makes
 * of the project in a folder, or of a line of arguments, with double quotes only or with single ones too.
 */
public final class ReadProject {
    public static void main(String[] arguments) throws IOException {
        BufferedReader requests = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        for (String line = requests.readLine(); line != null; line = requests.readLine()) {
            String[] words = line.split(" ", 2);
            String subject = new String(Base64.getDecoder().decode(words[1]), StandardCharsets.UTF_8);
            System.out.println(Json.of(answer(words[0], subject)));
        }
    }

    private static Object answer(String verb, String subject) throws IOException {
        return switch (verb) {
            case "project" -> project(subject);
            case "split" -> ParametersListUtil.parse(subject);
            case "split-single" -> ParametersListUtil.parse(subject, false, true);
            default -> throw new IllegalArgumentException(verb);
        };
    }

    private static Map<String, Object> project(String folder) throws IOException {
        JpsProject project = JpsElementFactory.getInstance().createModel().getProject();
        JpsProjectLoader.loadProject(project, Map.of(), folder);
        Map<String, Object> found = new LinkedHashMap<>();
        found.put("name", project.getName());
        found.put("modules", each(project.getModules(), ReadProject::module));
        found.put("configurations", each(project.getRunConfigurations(), ReadProject::configuration));
        return found;
    }

    private static Map<String, Object> module(JpsModule module) {
        Map<String, Object> found = new LinkedHashMap<>();
        found.put("name", module.getName());
        found.put("type", module.getModuleType().toString());
        found.put("content", module.getContentRootsList().getUrls());
        found.put("sources", roots(module, JavaSourceRootType.SOURCE));
        found.put("tests", roots(module, JavaSourceRootType.TEST_SOURCE));
        found.put("excluded", module.getExcludeRootsList().getUrls());
        found.put("excluded patterns", each(module.getExcludePatterns(), JpsExcludePattern::getPattern));
        List<JpsDependencyElement> dependencies = module.getDependenciesList().getDependencies();
        found.put("dependencies", each(dependencies, dependency -> dependency(module, dependency)));
        return found;
    }

    private static List<Object> roots(JpsModule module, JavaSourceRootType type) {
        return module.getSourceRoots().stream()
                .filter(root -> root.getRootType().equals(type))
                .map(JpsModuleSourceRoot::getUrl)
                .collect(Collectors.toList());
    }

    private static Object dependency(JpsModule module, JpsDependencyElement dependency) {
        if (dependency instanceof JpsModuleSourceDependency) {
            return "sources";
        }
        if (dependency instanceof JpsSdkDependency sdk) {
            boolean inherited = module.getSdkReferencesTable().getSdkReference(sdk.getSdkType()) == null;
            JpsSdkReference<?> reference = sdk.getSdkReference();
            return (inherited ? "inherited: " : "own: ") + (reference == null ? "none" : reference.getSdkName());
        }
        return dependency.toString();
    }

    private static Map<String, Object> configuration(JpsRunConfiguration configuration) {
        Map<String, Object> found = new LinkedHashMap<>();
        found.put("name", configuration.getName());
        JpsElement properties = configuration.getProperties();
        // Of a type that nobody has registered nothing is kept.
        boolean known = properties instanceof JpsSimpleElement<?>;
        found.put("element", known ? element((Element) ((JpsSimpleElement<?>) properties).getData()) : null);
        return found;
    }

    private static Map<String, Object> element(Element element) {
        Map<String, Object> found = new LinkedHashMap<>();
        found.put("tag", element.getName());
        Map<String, Object> attributes = new LinkedHashMap<>();
        element.getAttributes().forEach(attribute -> attributes.put(attribute.getName(), attribute.getValue()));
        found.put("attributes", attributes);
        found.put("children", each(element.getChildren(), ReadProject::element));
        return found;
    }

    private static <T> List<Object> each(List<T> items, Function<T, Object> read) {
        return items.stream().map(read).collect(Collectors.toList());
    }

    private ReadProject() {}
}
